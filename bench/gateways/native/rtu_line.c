/* Modbus RTU devices on a pseudo terminal that takes as long as a serial line would, and measures how it is used.
 *
 * usage: rtu_line BAUD STATE [ANSWER_MS]
 *
 * Every unit answers functions 3 and 4 with numbers. A request takes as long to arrive as its characters take (10 bits
 * each, 8N1); the answer begins after the silence of 3.5 characters (1.75 ms above 19200 baud: Modbus over serial line
 * V1.02, 2.5.1.1) and ANSWER_MS, which counts as used, and comes in pieces of a millisecond, as it would from a UART.
 * STATE is a file that others map, uint64: ns that the line was used (characters, and the silence before each of both
 * frames), requests, requests that began within the silence, shortest silence before a request in ns, ns that it was at
 * work: as used, but as long as it took; a pause of more than 50 ms before a request counts as one silence.
 * The path of the terminal is printed; it ends with SIGTERM.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { USED_NS, REQUESTS, TOO_EARLY, SHORTEST_NS, WORK_NS, FACTS, REQUEST = 8, MAX_READ = 125, PIECE_NS = 1000000, PAUSE_NS = 50000000 };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns) {
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)) {}
}

static uint16_t crc(const uint8_t *data, int size) {
    uint16_t sum = 0xffff;
    for (int n = 0; n < size; n++) {
        sum ^= data[n];
        for (int bit = 0; bit < 8; bit++) sum = sum & 1 ? (uint16_t)(sum >> 1 ^ 0xa001) : (uint16_t)(sum >> 1);
    }
    return sum;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: rtu_line BAUD STATE [ANSWER_MS]\n");
        return 2;
    }
    double baud = atof(argv[1]);
    uint64_t char_ns = (uint64_t)(10e9 / baud), silence_ns = baud > 19200 ? 1750000u : (uint64_t)(35e9 / baud);
    uint64_t answer_ns = argc == 4 ? (uint64_t)(1e6 * atof(argv[3])) : 0;
    int state = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (state < 0 || ftruncate(state, FACTS * 8)) die(argv[2]);
    uint64_t *facts = mmap(NULL, FACTS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, state, 0);
    int line = posix_openpt(O_RDWR | O_NOCTTY);
    if (line < 0 || grantpt(line) || unlockpt(line)) die("pty");
    int kept = open(ptsname(line), O_RDWR | O_NOCTTY); /* so that it lives on between two openings */
    struct termios raw;
    tcgetattr(kept, &raw);
    cfmakeraw(&raw);
    tcsetattr(kept, TCSANOW, &raw);
    printf("%s\n", ptsname(line));
    fflush(stdout);
    uint64_t free_ns = 0;
    facts[SHORTEST_NS] = UINT64_MAX;
    for (;;) {
        uint8_t ask[256], out[3 + 2 * MAX_READ + 2];
        int got = 0;
        uint64_t began_ns = 0;
        while (got < REQUEST) {
            ssize_t n = read(line, ask + got, (size_t)(REQUEST - got));
            if (n <= 0) die("read");
            if (!got) began_ns = now_ns();
            got += (int)n;
        }
        unsigned count = (unsigned)ask[4] << 8 | ask[5];
        uint16_t sum = crc(ask, REQUEST - 2);
        uint64_t before_ns = silence_ns;
        if (ask[6] != (sum & 0xff) || ask[7] != sum >> 8 || count < 1 || count > MAX_READ) continue;
        if (free_ns) {
            uint64_t silent_ns = began_ns > free_ns ? began_ns - free_ns : 0;
            if (silent_ns < silence_ns) facts[TOO_EARLY]++;
            if (silent_ns < PAUSE_NS) before_ns = silent_ns;
            if (silent_ns < facts[SHORTEST_NS]) facts[SHORTEST_NS] = silent_ns;
        }
        int size = (int)(3 + 2 * count);
        out[0] = ask[0];
        out[1] = ask[1];
        out[2] = (uint8_t)(2 * count);
        for (unsigned n = 0; n < count; n++) {
            out[3 + 2 * n] = ask[0];
            out[4 + 2 * n] = (uint8_t)n;
        }
        sum = crc(out, size);
        out[size++] = (uint8_t)sum;
        out[size++] = (uint8_t)(sum >> 8);
        uint64_t start_ns = began_ns + REQUEST * char_ns + silence_ns + answer_ns;
        for (int sent = 0; sent < size;) {
            uint64_t at_ns = now_ns();
            free_ns = at_ns; /* the master cannot have seen the last of it before; later than on a wire, never earlier */
            int there = at_ns < start_ns ? 0 : (int)((at_ns - start_ns) / char_ns);
            if (there > size) there = size;
            if (there > sent && write(line, out + sent, (size_t)(there - sent)) != there - sent) die("write");
            sent = there > sent ? there : sent;
            uint64_t last_ns = start_ns + (uint64_t)size * char_ns, next_ns = now_ns() + PIECE_NS;
            if (sent < size) sleep_until(next_ns < last_ns ? next_ns : last_ns);
        }
        facts[USED_NS] += (uint64_t)(REQUEST + size) * char_ns + 2 * silence_ns + answer_ns;
        facts[WORK_NS] += free_ns - began_ns + before_ns;
        facts[REQUESTS]++;
    }
}
