/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that does nothing: first of a pod's sandbox (the image "pause") and first of a lab machine's own PID
 * namespace. Reaps the orphans that the kernel gives to a namespace's first process; ends on SIGTERM and SIGINT.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	sigset_t wanted;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGINT);
	if (sigprocmask(SIG_BLOCK, &wanted, NULL) < 0)
		return 1;
	for (;;) {
		int sig;

		if (sigwait(&wanted, &sig) != 0)
			return 1;
		if (sig != SIGCHLD)
			return 0;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}
