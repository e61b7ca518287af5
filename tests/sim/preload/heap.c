/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.so: preloaded into the daemon by tests/sim/soak-case. Writes how many bytes of its heap are in use into the file
 * named by KMETRICSD_TEST_HEAP, ten times a second, as "SECONDS BYTES\n" of fixed width. Resident memory would not do:
 * a leak first fills the holes that the first lists have left.
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EACH_NS 100000000

static void *watch(void *arg)
{
	const int *fd = arg;

	for (;;) {
		struct timespec now, pause = {.tv_nsec = EACH_NS};
		char line[64];
		int n;

		clock_gettime(CLOCK_MONOTONIC, &now);
		n = snprintf(line, sizeof(line), "%12lld %15zu\n", (long long)now.tv_sec, mallinfo2().uordblks);
		if (pwrite(*fd, line, (size_t)n, 0) != n)
			return NULL;
		nanosleep(&pause, NULL);
	}
}

__attribute__((constructor)) static void start(void)
{
	static int fd;
	const char *path = getenv("KMETRICSD_TEST_HEAP");
	sigset_t all, before;
	pthread_t thread;

	if (!path || (fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
		return;
	/* the daemon's signals are its own threads' */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, watch, &fd) == 0)
		pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
