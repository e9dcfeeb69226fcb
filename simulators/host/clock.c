/* Preloaded into the command under test: its wall clock is off by what the host says, its monotonic clocks are not.
 *
 * The offset is an int64 in ns, in the file $OC_SIM_CLOCK. The file is mapped: a step shows at once, everywhere.
 * A deadline on the wall clock is turned back into true time before it is waited for, else every such wait would be
 * off by the offset. Relative waits, and deadlines on a monotonic clock, pass untouched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int64_t none;
static volatile int64_t *offset_ns = &none;

__attribute__((constructor)) static void map_offset(void) {
    const char *path = getenv("OC_SIM_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) offset_ns = page;
    close(file);
}

static int is_wall(clockid_t id) { return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE || id == CLOCK_TAI; }

static struct timespec moved(struct timespec time, int64_t by_ns) {
    int64_t ns = time.tv_sec * NS + time.tv_nsec + by_ns;
    if (ns < 0) ns = 0;
    return (struct timespec){ns / NS, ns % NS};
}

static struct timespec true_time(const struct timespec *deadline) { return moved(*deadline, -*offset_ns); }

int clock_gettime(clockid_t id, struct timespec *time) {
    NEXT(clock_gettime);
    int failed = next(id, time);
    if (!failed && is_wall(id)) *time = moved(*time, *offset_ns);
    return failed;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    if (zone) *(struct timezone *)zone = (struct timezone){0, 0};
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    *time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return failed;
}

time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *time, int base) {
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, time) ? base : 0;
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *time, struct timespec *left) {
    NEXT(clock_nanosleep);
    if (!is_wall(id) || !(flags & TIMER_ABSTIME)) return next(id, flags, time, left);
    struct timespec until = true_time(time);
    return next(id, flags, &until, left);
}

int sem_clockwait(sem_t *restrict sem, clockid_t id, const struct timespec *restrict deadline) {
    NEXT(sem_clockwait);
    if (!is_wall(id)) return next(sem, id, deadline);
    struct timespec until = true_time(deadline);
    return next(sem, id, &until);
}

int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict deadline) {
    return sem_clockwait(sem, CLOCK_REALTIME, deadline);
}

int pthread_mutex_clocklock(pthread_mutex_t *restrict lock, clockid_t id, const struct timespec *restrict deadline) {
    NEXT(pthread_mutex_clocklock);
    if (!is_wall(id)) return next(lock, id, deadline);
    struct timespec until = true_time(deadline);
    return next(lock, id, &until);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict lock, const struct timespec *restrict deadline) {
    return pthread_mutex_clocklock(lock, CLOCK_REALTIME, deadline);
}

int pthread_cond_clockwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict lock, clockid_t id,
                           const struct timespec *restrict deadline) {
    NEXT(pthread_cond_clockwait);
    if (!is_wall(id)) return next(cond, lock, id, deadline);
    struct timespec until = true_time(deadline);
    return next(cond, lock, id, &until);
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict lock,
                           const struct timespec *restrict deadline) {
    int monotonic = cond->__data.__wrefs & 2; /* glibc 2.25 and later: what pthread_condattr_setclock has chosen */
    return pthread_cond_clockwait(cond, lock, monotonic ? CLOCK_MONOTONIC : CLOCK_REALTIME, deadline);
}
