/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread that takes jobs in order, and an eventfd by which it tells the loop that some are done. The only code of
 * the project that locks.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/loop_private.h"

#define JOBS_MAX 1024

struct job {
	km_loop_fn work, done;
	void *arg;
	struct job *next;
};

struct queue {
	struct job *first, **last;
};

struct km_worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct queue todo, finished; /* under lock */
	bool stop;                   /* under lock */
	size_t queued;               /* loop's thread only: jobs whose done has not run */
	int fd;
	struct event *event;
};

static void push(struct queue *q, struct job *j)
{
	j->next = NULL;
	*q->last = j;
	q->last = &j->next;
}

static struct job *pop(struct queue *q)
{
	struct job *j = q->first;

	if (j && !(q->first = j->next))
		q->last = &q->first;
	return j;
}

static void *run(void *arg)
{
	struct km_worker *w = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct job *j;

		while (!w->stop && !w->todo.first)
			pthread_cond_wait(&w->wake, &w->lock);
		if (w->stop)
			break;
		j = pop(&w->todo);
		pthread_mutex_unlock(&w->lock);
		j->work(j->arg);
		pthread_mutex_lock(&w->lock);
		push(&w->finished, j);
		/* An eventfd takes 2^64-2 of these: it never blocks here. */
		if (write(w->fd, &one, sizeof(one)) < 0)
			break;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void finish_all(struct km_worker *w, struct queue *q)
{
	for (;;) {
		struct job *j;

		pthread_mutex_lock(&w->lock);
		j = pop(q);
		pthread_mutex_unlock(&w->lock);
		if (!j)
			return;
		w->queued--;
		j->done(j->arg);
		free(j);
	}
}

static void on_finished(evutil_socket_t fd, short what, void *arg)
{
	struct km_worker *w = arg;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	finish_all(w, &w->finished);
}

int km_worker_new(struct event_base *base, struct km_worker **ret, struct km_err *err)
{
	struct km_worker *w = calloc(1, sizeof(*w));
	sigset_t all, before;
	int r;

	if (!w)
		return km_fail(err, -ENOMEM, "out of memory");
	w->todo.last = &w->todo.first;
	w->finished.last = &w->finished.first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->event = w->fd >= 0 ? event_new(base, w->fd, EV_READ | EV_PERSIST, on_finished, w) : NULL;
	if (!w->event || event_add(w->event, NULL) < 0) {
		r = km_fail(err, -ENOMEM, "the worker's event could not be made");
		goto fail;
	}
	/* Signals belong to the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0) {
		km_fail(err, r, "the worker thread could not be started: %s", strerror(-r));
		goto fail;
	}
	*ret = w;
	return 0;
fail:
	if (w->event)
		event_free(w->event);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
	return r;
}

void km_worker_free(struct km_worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	finish_all(w, &w->finished);
	finish_all(w, &w->todo);
	event_free(w->event);
	close(w->fd);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int km_worker_add(struct km_worker *w, km_loop_fn work, km_loop_fn done, void *arg)
{
	struct job *j;

	if (w->queued >= JOBS_MAX)
		return -EAGAIN;
	j = malloc(sizeof(*j));
	if (!j)
		return -ENOMEM;
	*j = (struct job){.work = work, .done = done, .arg = arg};
	pthread_mutex_lock(&w->lock);
	push(&w->todo, j);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	w->queued++;
	return 0;
}
