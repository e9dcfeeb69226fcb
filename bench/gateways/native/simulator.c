/* Modbus TCP devices whose registers are serial numbers. One port a device, on 127.0.0.1; no dependency.
 *
 * usage: simulator DEVICES REGISTERS RING STATE
 *
 * Each read of a register answers with the next number of that register: offset(device, register) + how often it was
 * read before, modulo 65536. So whoever gets the value knows which read it is from, and a value of another register
 * does not fit (gateways/serials.py says the same in Python).
 *
 * STATE is a file that others map: for each register how often it was read (uint32), then for each register and each
 * of its last RING reads when the answer was given to the kernel (uint64, ns of CLOCK_MONOTONIC).
 * The ports are printed, one a line; it ends with SIGTERM. SIGUSR1 silences it: what is asked from then on has no answer,
 * and no answer is half given, so that what was read so far stays as it is.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MBAP = 7, ROOM = 4096, MAX_READ = 125, ILLEGAL_FUNCTION = 1, ILLEGAL_ADDRESS = 2, ILLEGAL_VALUE = 3 };

struct peer {
    int fd, device, used;
    int listening;
    uint8_t heard[ROOM];
};

static unsigned devices, registers, ring;
static uint32_t *reads;
static uint64_t *answered_ns;
static volatile sig_atomic_t silent;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void on_signal(int number) { silent = number == SIGUSR1; }

static uint16_t offset_of(unsigned device, unsigned place) {
    return (uint16_t)((device * 1009u + place * 40503u) & 0xffff);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned get16(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

/* The PDU that answers a request of `size` bytes; gives its length. */
static int answer(int device, const uint8_t *ask, int size, uint8_t *out) {
    unsigned first = size >= 5 ? get16(ask + 1) : 0, count = size >= 5 ? get16(ask + 3) : 0;
    int fault = 0;
    if (size < 5 || (ask[0] != 3 && ask[0] != 4)) fault = ILLEGAL_FUNCTION;
    else if (count < 1 || count > MAX_READ) fault = ILLEGAL_VALUE;
    else if (first + count > registers) fault = ILLEGAL_ADDRESS;
    if (fault) {
        out[0] = ask[0] | 0x80;
        out[1] = (uint8_t)fault;
        return 2;
    }
    uint64_t at = now_ns();
    out[0] = ask[0];
    out[1] = (uint8_t)(2 * count);
    for (unsigned n = 0; n < count; n++) {
        size_t cell = (size_t)device * registers + first + n;
        uint16_t value = (uint16_t)(offset_of((unsigned)device, first + n) + reads[cell]);
        answered_ns[cell * ring + reads[cell] % ring] = at;
        __atomic_store_n(&reads[cell], reads[cell] + 1, __ATOMIC_RELEASE);
        out[2 + 2 * n] = (uint8_t)(value >> 8);
        out[3 + 2 * n] = (uint8_t)value;
    }
    return (int)(2 + 2 * count);
}

/* Answer every whole request that was heard; 0 where the connection is to be closed. */
static int serve(struct peer *p) {
    ssize_t got = read(p->fd, p->heard + p->used, (size_t)(ROOM - p->used));
    if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
    if (silent) return 1;
    p->used += (int)got;
    uint8_t out[ROOM * 32];
    int made = 0, at = 0;
    while (p->used - at >= MBAP) {
        int length = (int)get16(p->heard + at + 4);
        if (length < 2 || length > 260) return 0;
        if (p->used - at < 6 + length) break;
        if (made + MBAP + 2 + 2 * MAX_READ > (int)sizeof out) break;
        memcpy(out + made, p->heard + at, MBAP);
        int size = answer(p->device, p->heard + at + MBAP, length - 1, out + made + MBAP);
        out[made + 4] = (uint8_t)((size + 1) >> 8);
        out[made + 5] = (uint8_t)(size + 1);
        made += MBAP + size;
        at += 6 + length;
    }
    memmove(p->heard, p->heard + at, (size_t)(p->used - at));
    p->used -= at;
    return made == 0 || write(p->fd, out, (size_t)made) == made;
}

static struct peer *watched(int epoll, int fd, int device, int listening) {
    struct peer *p = calloc(1, sizeof *p);
    if (!p) die("calloc");
    p->fd = fd;
    p->device = device;
    p->listening = listening;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    return p;
}

static void listen_for(int epoll, int device) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof place;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&place, size) || listen(fd, 64)) die("listen");
    if (getsockname(fd, (struct sockaddr *)&place, &size)) die("getsockname");
    printf("%d\n", ntohs(place.sin_port));
    watched(epoll, fd, device, 1);
}

static void map_state(const char *path) {
    size_t cells = (size_t)devices * registers, bytes = cells * 4 + (cells & 1) * 4 + cells * ring * 8;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || ftruncate(fd, (off_t)bytes)) die(path);
    uint8_t *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) die("mmap");
    reads = (uint32_t *)map;
    answered_ns = (uint64_t *)(map + cells * 4 + (cells & 1) * 4);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: simulator DEVICES REGISTERS RING STATE\n");
        return 2;
    }
    devices = (unsigned)atoi(argv[1]);
    registers = (unsigned)atoi(argv[2]);
    ring = (unsigned)atoi(argv[3]);
    map_state(argv[4]);
    sigset_t silence, none;
    sigemptyset(&silence);
    sigemptyset(&none);
    sigaddset(&silence, SIGUSR1);
    sigprocmask(SIG_BLOCK, &silence, NULL); /* it comes in epoll_pwait only, between two answers */
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, NULL);
    int epoll = epoll_create1(0);
    for (unsigned n = 0; n < devices; n++) listen_for(epoll, (int)n);
    fflush(stdout);
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_pwait(epoll, events, 64, -1, &none);
        for (int n = 0; n < ready; n++) {
            struct peer *p = events[n].data.ptr;
            if (p->listening) {
                int fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK), yes = 1;
                if (fd < 0) continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                watched(epoll, fd, p->device, 0);
            } else if (!serve(p)) {
                close(p->fd);
                free(p);
            }
        }
    }
}
