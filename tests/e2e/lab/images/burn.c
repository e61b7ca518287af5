/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load generator of the e2e tests (the image "burn"): uses as much CPU and memory as a file says, so that a test
 * raises and lowers the load of running pods by writing that file.
 *
 * Usage: burn FILE. FILE holds "PERCENT [MEBIBYTES]": per cent of one core (0..100) and resident memory on top of the
 * program's own. Read every 100 ms; a missing or unreadable FILE means "0 0". PERCENT is spent as CPU time, not as wall
 * time, so that it is kept on a busy machine too, as far as there is CPU to be had.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS     (100 * 1000 * 1000LL)
#define PERCENT_MAX   100
#define MEBIBYTES_MAX 4096
#define MEBIBYTE      ((size_t)1 << 20)

static long long now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static long clamp(long value, long max)
{
	return value < 0 ? 0 : value > max ? max : value;
}

static void read_load(const char *path, long *ret_percent, long *ret_mebibytes)
{
	char text[64] = "", *end;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		ssize_t n = read(fd, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = '\0';
		close(fd);
	}
	*ret_percent = clamp(strtol(text, &end, 10), PERCENT_MAX);
	*ret_mebibytes = clamp(strtol(end, NULL, 10), MEBIBYTES_MAX);
}

/* Makes the resident ballast as large as asked; every page is written, so that it counts. */
static void set_memory(char **ballast, size_t *size, size_t wanted)
{
	if (wanted == *size)
		return;
	if (*ballast)
		munmap(*ballast, *size);
	*ballast = NULL;
	*size = 0;
	if (wanted == 0)
		return;
	char *p = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		perror("burn: mmap");
		return;
	}
	memset(p, 0x5a, wanted);
	*ballast = p;
	*size = wanted;
}

int main(int argc, char **argv)
{
	char *ballast = NULL;
	size_t size = 0;

	if (argc != 2) {
		fputs("usage: burn FILE\n", stderr);
		return 2;
	}
	/* the first process of a PID namespace has no default actions for signals */
	signal(SIGTERM, _exit);
	signal(SIGINT, _exit);
	for (long long deadline = now_ns(CLOCK_MONOTONIC) + PERIOD_NS;; deadline += PERIOD_NS) {
		long percent, mebibytes;

		read_load(argv[1], &percent, &mebibytes);
		set_memory(&ballast, &size, (size_t)mebibytes * MEBIBYTE);

		long long cpu_end = now_ns(CLOCK_THREAD_CPUTIME_ID) + PERIOD_NS / 100 * percent;
		while (now_ns(CLOCK_THREAD_CPUTIME_ID) < cpu_end && now_ns(CLOCK_MONOTONIC) < deadline)
			for (volatile int i = 0; i < 10000; i++)
				;

		/* after being stopped or starved for long, start afresh rather than catch up */
		long long now = now_ns(CLOCK_MONOTONIC);
		if (now > deadline + PERIOD_NS)
			deadline = now;
		struct timespec until = {deadline / 1000000000LL, deadline % 1000000000LL};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
}
