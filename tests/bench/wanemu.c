/*
 * A long link between two TUN devices: rate, delay, loss and a finite queue, one thread for each direction.
 *
 *   wanemu DEVICE_A DEVICE_B RATE_MBIT ONEWAY_MS LOSS_PERCENT QUEUE_MS
 *
 * Prints "ready" once the devices are there, to be moved into namespaces. Packets are lost from A to B
 * alone, at random; both directions drop what would wait longer than the queue. Ends with its standard input.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 1 << 16, PACKET = 1600, AT_ONCE = 64 };

typedef struct {
    int in, out;
    double bits_per_s, delay_s, lost, queue_s, free_at_s;
    unsigned head, tail, seed;
    unsigned char *packets;
    uint16_t *sizes;
    double *due_s;
} Way;

static Way ways[2];

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int tun(const char *name) {
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    struct ifreq ask = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(ask.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &ask)) {
        perror(name);
        exit(1);
    }
    return fd;
}

static bool deliver(Way *w, double now) {
    bool some = false;
    for (; w->head != w->tail && w->due_s[w->tail % SLOTS] <= now; w->tail++, some = true) {
        unsigned i = w->tail % SLOTS;
        if (write(w->out, w->packets + (size_t)i * PACKET, w->sizes[i]) < 0) continue; /* the other side is full */
    }
    return some;
}

static bool take(Way *w, double now) {
    bool some = false;
    for (int k = 0; k < AT_ONCE && w->head - w->tail < SLOTS; k++) {
        unsigned i = w->head % SLOTS;
        ssize_t size = read(w->in, w->packets + (size_t)i * PACKET, PACKET);
        if (size <= 0) break;
        some = true;
        double begins = w->free_at_s > now ? w->free_at_s : now;
        if ((w->lost > 0 && rand_r(&w->seed) < w->lost * RAND_MAX) || begins - now > w->queue_s) continue;
        w->free_at_s = begins + (double)size * 8 / w->bits_per_s;
        w->due_s[i] = w->free_at_s + w->delay_s;
        w->sizes[i] = (uint16_t)size;
        w->head++;
    }
    return some;
}

static void *carry(void *arg) {
    Way *w = arg;
    prctl(PR_SET_TIMERSLACK, 1000);
    for (;;) {
        double now = now_s();
        bool some = deliver(w, now);
        if (take(w, now) || some) continue;
        double wait = w->head != w->tail ? w->due_s[w->tail % SLOTS] - now_s() : 1;
        wait = wait < 0.0001 ? 0.0001 : wait > 1 ? 1 : wait;
        struct timespec t = {(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)};
        struct pollfd p = {w->in, POLLIN, 0};
        ppoll(&p, 1, &t, NULL);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 7) return fprintf(stderr, "usage: wanemu A B RATE_MBIT ONEWAY_MS LOSS_PERCENT QUEUE_MS\n"), 2;
    int a = tun(argv[1]), b = tun(argv[2]);
    for (int i = 0; i < 2; i++) {
        ways[i] = (Way){.in = i ? b : a, .out = i ? a : b, .bits_per_s = atof(argv[3]) * 1e6,
                        .delay_s = atof(argv[4]) / 1e3, .lost = i ? 0 : atof(argv[5]) / 100,
                        .queue_s = atof(argv[6]) / 1e3, .seed = (unsigned)i + 7};
        ways[i].packets = malloc((size_t)SLOTS * PACKET);
        ways[i].sizes = malloc(SLOTS * sizeof *ways[i].sizes);
        ways[i].due_s = malloc(SLOTS * sizeof *ways[i].due_s);
        pthread_t thread;
        if (pthread_create(&thread, NULL, carry, &ways[i])) return perror("thread"), 1;
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}
