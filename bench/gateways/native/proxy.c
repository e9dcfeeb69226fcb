/* The line between a gateway and the broker: passes bytes on, counts them, and can be cut.
 *
 * usage: proxy BROKER_PORT STATE
 *
 * STATE is a file that others map: uint64 bytes up (gateway to broker), bytes down, connections so far, and when the
 * last connection was made (ns of CLOCK_MONOTONIC). The counted bytes are TCP payload: no TCP, IP or Ethernet headers.
 * SIGUSR1 cuts the line: connections are reset, new ones refused, as where a broker's host is up and the broker is not.
 * SIGUSR2 mends it. The port is printed; it ends with SIGTERM.
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
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { UP, DOWN, CONNECTIONS, CONNECTED_NS, FACTS, ROOM = 1 << 16, ENDS = 1024 };

struct end {
    int fd, direction;
    struct end *other, *next;
};

static uint64_t *facts;
static struct end *all, *dead;
static int epoll, listener, listening, broker_port;
static volatile sig_atomic_t cut;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void on_signal(int number) { cut = number == SIGUSR1; }

static struct sockaddr_in local(int at) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    place.sin_port = htons((uint16_t)at);
    return place;
}

static void watch(int fd, void *whom) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = whom};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static int bound(int at) {
    struct sockaddr_in place = local(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&place, sizeof place)) die("bind");
    return fd;
}

/* Gives a free port. It stays ours while the line is cut, for it is asked for by its number: the kernel takes one that
 * it has chosen itself back when a socket does not listen any more, and gives it to anybody. */
static int bind_listener(void) {
    struct sockaddr_in place;
    socklen_t size = sizeof place;
    int any = bound(0);
    getsockname(any, (struct sockaddr *)&place, &size);
    close(any);
    listener = bound(ntohs(place.sin_port));
    return ntohs(place.sin_port);
}

static void begin_listening(void) {
    if (listen(listener, 64)) die("listen");
    watch(listener, NULL);
    listening = 1;
}

/* What waits to be accepted is reset, what comes is refused. */
static void end_listening(void) {
    if (epoll_ctl(epoll, EPOLL_CTL_DEL, listener, NULL) || shutdown(listener, SHUT_RDWR)) die("shutdown");
    listening = 0;
}

/* Close both ends, with a reset; they are freed when no event can name them any more. */
static void end_pair(struct end *e) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct end *both[2] = {e, e->other};
    for (int n = 0; n < 2; n++) {
        if (both[n]->fd < 0) continue;
        setsockopt(both[n]->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(both[n]->fd);
        both[n]->fd = -1;
        for (struct end **at = &all; *at; at = &(*at)->next)
            if (*at == both[n]) {
                *at = both[n]->next;
                break;
            }
        both[n]->next = dead;
        dead = both[n];
    }
}

static void accepted(void) {
    int gateway = accept4(listener, NULL, NULL, 0), yes = 1;
    if (gateway < 0) return;
    struct sockaddr_in place = local(broker_port);
    int broker = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(broker, (struct sockaddr *)&place, sizeof place)) {
        close(gateway);
        close(broker);
        return;
    }
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    facts[CONNECTED_NS] = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    facts[CONNECTIONS]++;
    int fds[2] = {gateway, broker};
    struct end *ends[2] = {calloc(1, sizeof(struct end)), calloc(1, sizeof(struct end))};
    for (int n = 0; n < 2; n++) {
        setsockopt(fds[n], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        *ends[n] = (struct end){.fd = fds[n], .direction = n == 0 ? UP : DOWN, .other = ends[1 - n], .next = all};
        all = ends[n];
        watch(fds[n], ends[n]);
    }
}

/* Sockets block in writing: the line is as slow as its slower end, and nothing is kept here. */
static void pass_on(struct end *e) {
    static uint8_t room[ROOM];
    ssize_t got = recv(e->fd, room, ROOM, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0) facts[e->direction] += (uint64_t)got;
    for (ssize_t sent = 0; sent < got;) {
        ssize_t n = send(e->other->fd, room + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (n <= 0) {
            got = 0;
            break;
        }
        sent += n;
    }
    if (got <= 0) end_pair(e);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: proxy BROKER_PORT STATE\n");
        return 2;
    }
    broker_port = atoi(argv[1]);
    int fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || ftruncate(fd, FACTS * 8)) die(argv[2]);
    facts = mmap(NULL, FACTS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (facts == MAP_FAILED) die("mmap");
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t both, none;
    sigemptyset(&both);
    sigemptyset(&none);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    sigprocmask(SIG_BLOCK, &both, NULL); /* they come in epoll_pwait only */
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    epoll = epoll_create1(0);
    printf("%d\n", bind_listener());
    begin_listening();
    fflush(stdout);
    for (;;) {
        struct epoll_event events[ENDS];
        int ready = epoll_pwait(epoll, events, ENDS, -1, &none);
        for (int n = 0; n < ready; n++) {
            struct end *e = events[n].data.ptr;
            if (!e) accepted();
            else if (e->fd >= 0) pass_on(e);
        }
        if (cut && listening) {
            end_listening();
            while (all) end_pair(all);
        } else if (!cut && !listening) {
            begin_listening();
        }
        while (dead) {
            struct end *next = dead->next;
            free(dead);
            dead = next;
        }
    }
}
