/* SPDX-License-Identifier: Apache-2.0 */
/* The local doors: one JSON line in, one out, for whoever may; and the blocking side that calls them. */
#include "net/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/unit/support/check.h"

#define MS       KM_USEC_PER_MSEC
#define NEVER_US (60 * KM_USEC_PER_SEC)
#define STRANGER 65534 /* a uid that is not ours */

struct scene {
	struct km_loop *loop;
	struct km_control *control;
	struct km_timer *watchdog;
	char folder[40], path[64];
	struct km_control_config config;
	/* the server */
	unsigned requests;
	uid_t uid;
	char op[64];
	size_t big; /* the reply's size, 0: small */
	/* what the client saw; it runs on another thread, where nothing may assert */
	int fd[KM_CONTROL_PEERS_MAX + 1];
	bool ok[8];
	int result, code;
	struct km_err err;
	char seen[8][400];
	const char *request;
	size_t request_len, got;
	uint64_t deadline_us;
	json_t *reply;
};

/* ---- the scene ---- */

static json_t *answer(const char *op, json_t *request, uid_t peer, void *arg)
{
	struct scene *s = arg;

	s->requests++;
	s->uid = peer;
	snprintf(s->op, sizeof(s->op), "%s", op);
	if (strcmp(op, "fail") == 0)
		return km_control_error(3, "no such pod: %s", json_string_value(json_object_get(request, "pod")));
	if (strcmp(op, "nothing") == 0)
		return NULL;
	if (strcmp(op, "big") == 0) {
		char *text = malloc(s->big + 1);
		json_t *reply;

		memset(text, 'x', s->big);
		text[s->big] = '\0';
		reply = json_pack("{s:s}", "text", text);
		free(text);
		return reply;
	}
	return json_pack("{s:s, s:i}", "echo", op, "n", (int)s->requests);
}

static void on_watchdog(void *arg)
{
	fail_msg("the scene is stuck");
}

static int set_up(void **state)
{
	static struct scene s;

	s = (struct scene){.folder = "/tmp/km-test-control-XXXXXX", .deadline_us = NEVER_US};
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(s.folder) || chmod(s.folder, 0711) < 0 || km_loop_new(&s.loop, NULL) < 0 ||
		km_timer_new(s.loop, on_watchdog, NULL, &s.watchdog) < 0)
		return -1;
	snprintf(s.path, sizeof(s.path), "%s/control.sock", s.folder);
	s.config = (struct km_control_config){.path = s.path, .fd = -1, .fn = answer, .arg = &s};
	for (size_t i = 0; i < KM_ARRAY_LEN(s.fd); i++)
		s.fd[i] = -1;
	*state = &s;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	for (size_t i = 0; i < KM_ARRAY_LEN(s->fd); i++)
		if (s->fd[i] >= 0)
			close(s->fd[i]);
	km_control_free(s->control);
	km_timer_free(s->watchdog);
	km_loop_free(s->loop);
	json_decref(s->reply);
	unlink(s->path);
	return rmdir(s->folder);
}

static void serve(struct scene *s)
{
	if (km_control_new(s->loop, &s->config, &s->control, &s->err) < 0)
		fail_msg("%s", s->err.text);
}

static void stop(void *arg)
{
	km_loop_stop(((struct scene *)arg)->loop);
}

/* Runs the loop until the client function has returned. */
static void play(struct scene *s, void (*client)(void *scene))
{
	/* far beyond what anything takes, also under valgrind */
	km_timer_set(s->watchdog, (getenv("KMETRICSD_TEST_SLOW") ? 200 : 20) * KM_USEC_PER_SEC);
	assert_int_equal(km_loop_work(s->loop, client, stop, s), 0);
	assert_int_equal(km_loop_run(s->loop), 0);
	km_timer_cancel(s->watchdog);
}

/* ---- a client of bytes ---- */

static int dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval five = {.tv_sec = 5};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &five, sizeof(five));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &five, sizeof(five));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool say(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t some = send(fd, text, n, MSG_NOSIGNAL);

		if (some <= 0)
			return false;
		text += some;
		n -= (size_t)some;
	}
	return true;
}

/* One line without its end; false at the end of the connection or after five seconds. */
static bool hear(int fd, char *out, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && recv(fd, out + n, 1, 0) == 1) {
		if (out[n] == '\n') {
			out[n] = '\0';
			return true;
		}
		n++;
	}
	out[n] = '\0';
	return false;
}

/* Whether the server has closed and said nothing more; a connection that is still there is not. */
static bool is_closed(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* ---- the calling side against the serving side ---- */

static void call(void *arg)
{
	struct scene *s = arg;
	json_t *request = json_loads(s->request, 0, NULL);

	s->result = km_control_call(s->path, request, s->deadline_us, &s->reply, &s->code, &s->err);
	json_decref(request);
}

static void a_call_is_answered(void **state)
{
	struct scene *s = *state;

	serve(s);
	s->request = "{\"op\":\"status\",\"x\":[1,2]}";
	play(s, call);
	assert_int_equal(s->result, 0);
	assert_string_equal(json_string_value(json_object_get(s->reply, "echo")), "status");
	assert_int_equal(s->uid, geteuid());
}

static void an_error_travels_with_its_code(void **state)
{
	struct scene *s = *state;

	serve(s);
	s->request = "{\"op\":\"fail\",\"pod\":\"web-0\"}";
	play(s, call);
	assert_int_equal(s->result, -EREMOTEIO);
	assert_int_equal(s->code, 3);
	assert_string_equal(s->err.text, "no such pod: web-0");
	assert_null(s->reply);
	s->request = "{\"op\":\"nothing\"}";
	play(s, call);
	assert_int_equal(s->result, -EREMOTEIO);
	assert_mentions(&s->err, "out of memory");
}

static void large_replies_arrive_and_have_a_limit(void **state)
{
	struct scene *s = *state;

	serve(s);
	s->request = "{\"op\":\"big\"}";
	s->big = 4 * 1024 * 1024;
	play(s, call);
	assert_int_equal(s->result, 0);
	assert_int_equal(json_string_length(json_object_get(s->reply, "text")), s->big);
	json_decref(KM_TAKE(s->reply));
	s->big = KM_CONTROL_REPLY_MAX;
	play(s, call);
	assert_int_equal(s->result, -EREMOTEIO);
	assert_mentions(&s->err, "the reply is larger than 67108864 bytes");
}

static void call_with_much(void *arg)
{
	struct scene *s = arg;
	char *text = malloc(s->request_len + 1);
	json_t *request;

	memset(text, 'x', s->request_len);
	text[s->request_len] = '\0';
	request = json_pack("{s:s, s:s}", "op", "much", "text", text);
	free(text);
	s->result = km_control_call(s->path, request, s->deadline_us, &s->reply, &s->code, &s->err);
	json_decref(request);
}

static void a_request_that_is_too_long_is_told_so(void **state)
{
	struct scene *s = *state;

	serve(s);
	s->request_len = KM_CONTROL_REQUEST_MAX - 100;
	play(s, call_with_much);
	assert_int_equal(s->result, 0);
	/* also one that does not fit into the socket's buffers */
	for (int i = 0; i < 2; i++) {
		s->request_len = i ? 4 * 1024 * 1024 : KM_CONTROL_REQUEST_MAX;
		play(s, call_with_much);
		assert_int_equal(s->result, -EMSGSIZE);
		assert_mentions(&s->err, "longer than 262144 bytes");
	}
	assert_int_equal(s->requests, 1);
}

/* ---- bytes against the serving side ---- */

static const struct bad_row {
	const char *line;
	size_t len; /* 0: strlen */
	const char *text;
} bad_lines[] = {
	{"\n", 0, "not JSON"},
	{"{\"op\":\"x\"\n", 0, "not JSON"},
	{"{\"op\":\"x\"} {}\n", 0, "not JSON"},
	{"{\"op\":\"x\",\"op\":\"y\"}\n", 0, "not JSON"},
	{"{\"op\":\"\xff\"}\n", 0, "not JSON"},
	{"{\"op\":\"a\0b\"}\n", 13, "not JSON"},
	{"[\"op\"]\n", 0, "string"},
	{"{}\n", 0, "string"},
	{"{\"op\":7}\n", 0, "string"},
};

static void send_bad_lines(void *arg)
{
	struct scene *s = arg;

	s->fd[0] = dial(s->path);
	for (size_t i = 0; i < KM_ARRAY_LEN(bad_lines); i++) {
		const struct bad_row *row = &bad_lines[i];
		char line[400];

		if (!say(s->fd[0], row->line, row->len ? row->len : strlen(row->line)) ||
			!hear(s->fd[0], line, sizeof(line)) || !strstr(line, row->text) ||
			!strstr(line, "\"code\":2")) {
			snprintf(s->seen[0], sizeof(s->seen[0]), "line %zu: %.300s", i, line);
			return;
		}
	}
	s->ok[0] = say(s->fd[0], "{\"op\":\"fine\"}\n", 14) && hear(s->fd[0], s->seen[1], sizeof(s->seen[1]));
}

static void bad_requests_are_answered(void **state)
{
	struct scene *s = *state;

	serve(s);
	play(s, send_bad_lines);
	assert_string_equal(s->seen[0], "");
	assert_true(s->ok[0]);
	assert_string_equal(s->seen[1], "{\"echo\":\"fine\",\"n\":1}");
}

static void send_many_at_once(void *arg)
{
	struct scene *s = arg;
	static const char text[] = "{\"op\":\"a\"}\n{\"op\":\"b\"}\n{\"op\":\"c\"}\n";

	s->fd[0] = dial(s->path);
	s->ok[0] = say(s->fd[0], text, strlen(text)) && shutdown(s->fd[0], SHUT_WR) == 0;
	for (int i = 0; i < 3; i++)
		s->ok[1 + i] = hear(s->fd[0], s->seen[i], sizeof(s->seen[i]));
	s->ok[4] = is_closed(s->fd[0]);
}

/* A peer that has said all it will and listens gets its answers. */
static void a_half_closed_peer_is_answered(void **state)
{
	struct scene *s = *state;

	serve(s);
	play(s, send_many_at_once);
	for (int i = 0; i < 5; i++)
		assert_true(s->ok[i]);
	assert_string_equal(s->seen[0], "{\"echo\":\"a\",\"n\":1}");
	assert_string_equal(s->seen[1], "{\"echo\":\"b\",\"n\":2}");
	assert_string_equal(s->seen[2], "{\"echo\":\"c\",\"n\":3}");
}

static void send_too_much(void *arg)
{
	struct scene *s = arg;
	char block[4096];

	memset(block, ' ', sizeof(block));
	s->fd[0] = dial(s->path);
	for (size_t n = 0; n < KM_CONTROL_REQUEST_MAX; n += sizeof(block))
		if (!say(s->fd[0], block, sizeof(block)))
			return;
	s->ok[0] = hear(s->fd[0], s->seen[0], sizeof(s->seen[0]));
	s->ok[1] = is_closed(s->fd[0]);
}

static void an_endless_line_is_cut_off(void **state)
{
	struct scene *s = *state;

	serve(s);
	play(s, send_too_much);
	assert_true(s->ok[0] && s->ok[1]);
	assert_non_null(strstr(s->seen[0], "longer than 262144 bytes"));
	assert_int_equal(s->requests, 0);
}

static void fill_the_house(void *arg)
{
	struct scene *s = arg;

	for (int i = 0; i < KM_CONTROL_PEERS_MAX; i++) {
		s->fd[i] = dial(s->path);
		if (!say(s->fd[i], "{\"op\":\"x\"}\n", 11) || !hear(s->fd[i], s->seen[0], sizeof(s->seen[0])))
			return;
	}
	s->fd[KM_CONTROL_PEERS_MAX] = dial(s->path);
	s->ok[0] = is_closed(s->fd[KM_CONTROL_PEERS_MAX]);
	/* those inside are served all the same, and a place that becomes free is given away */
	s->ok[1] = say(s->fd[7], "{\"op\":\"y\"}\n", 11) && hear(s->fd[7], s->seen[1], sizeof(s->seen[1]));
	close(s->fd[7]);
	s->fd[7] = -1;
	for (int i = 0; i < 100 && !s->ok[2]; i++) {
		close(s->fd[KM_CONTROL_PEERS_MAX]);
		s->fd[KM_CONTROL_PEERS_MAX] = dial(s->path);
		s->ok[2] = say(s->fd[KM_CONTROL_PEERS_MAX], "{\"op\":\"z\"}\n", 11) &&
			   hear(s->fd[KM_CONTROL_PEERS_MAX], s->seen[2], sizeof(s->seen[2]));
	}
}

static void peers_have_a_limit(void **state)
{
	struct scene *s = *state;

	serve(s);
	assert_true(km_control_idle_since(s->control) > 0);
	play(s, fill_the_house);
	assert_true(s->ok[0] && s->ok[1] && s->ok[2]);
	assert_int_equal(s->requests, KM_CONTROL_PEERS_MAX + 2);
	assert_int_equal(km_control_idle_since(s->control), 0);
}

static void dribble(void *arg)
{
	struct scene *s = arg;

	s->fd[0] = dial(s->path);
	for (const char *c = "{\"op\":\"slow\"}\n"; *c; c++)
		if (!say(s->fd[0], c, 1))
			return;
	s->ok[0] = hear(s->fd[0], s->seen[0], sizeof(s->seen[0]));
	/* bytes that never make a request do not stretch its time */
	while (say(s->fd[0], " ", 1) && s->got < 10000) {
		const struct timespec pause = {.tv_nsec = 1000000};

		nanosleep(&pause, NULL);
		s->got++;
	}
	s->ok[1] = s->got < 10000;
}

static void a_slow_peer_has_its_time_and_no_more(void **state)
{
	struct scene *s = *state;

	s->config.deadline_us = 100 * MS;
	serve(s);
	play(s, dribble);
	assert_true(s->ok[0] && s->ok[1]);
	assert_string_equal(s->op, "slow");
	assert_true(km_control_idle_since(s->control) > 0);
}

static void ask_and_not_read(void *arg)
{
	struct scene *s = arg;
	static const char twice[] = "{\"op\":\"big\"}\n{\"op\":\"big\"}\n";
	struct timeval none = {0};
	char *out = malloc(65536);
	ssize_t n;

	s->fd[0] = dial(s->path);
	setsockopt(s->fd[0], SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	s->ok[0] = say(s->fd[0], twice, strlen(twice));
	/* waits, without reading, until the server has hung up */
	while (send(s->fd[0], "", 0, MSG_NOSIGNAL) == 0 && s->got++ < 10000) {
		const struct timespec pause = {.tv_nsec = 1000000};

		nanosleep(&pause, NULL);
		if (say(s->fd[0], " ", 1))
			continue;
		s->ok[1] = true;
		break;
	}
	for (s->got = 0; (n = recv(s->fd[0], out, 65536, 0)) > 0;)
		s->got += (size_t)n;
	free(out);
}

static void a_peer_that_does_not_read_is_cut_off(void **state)
{
	struct scene *s = *state;

	s->config.deadline_us = 100 * MS;
	s->big = 8 * 1024 * 1024;
	serve(s);
	play(s, ask_and_not_read);
	assert_true(s->ok[0] && s->ok[1]);
	assert_true(s->got < s->big);
	assert_int_equal(s->requests, 1); /* the second is not begun while the first answer is on its way */
}

static void freed_with_peers(void **state)
{
	struct scene *s = *state;

	serve(s);
	for (int i = 0; i < 3; i++)
		s->fd[i] = dial(s->path);
	assert_true(say(s->fd[0], "{\"op\":\"x\"}\n", 11));
	for (int i = 0; i < 3; i++)
		event_base_loop(km_loop_base(s->loop), EVLOOP_NONBLOCK);
	assert_int_equal(s->requests, 1);
	assert_true(say(s->fd[1], "{\"op\":\"x\"}\n", 11));
	km_control_free(KM_TAKE(s->control));
	for (int i = 0; i < 3; i++)
		event_base_loop(km_loop_base(s->loop), EVLOOP_NONBLOCK);
	assert_int_equal(s->requests, 1);
	assert_true(hear(s->fd[0], s->seen[0], sizeof(s->seen[0])));
	for (int i = 0; i < 3; i++)
		assert_true(is_closed(s->fd[i]));
	assert_int_equal(access(s->path, F_OK), -1);
}

/* ---- who may ---- */

/* Credentials belong to a thread as far as the kernel is concerned: only this one is somebody else. */
static void call_as_a_stranger(void *arg)
{
	struct scene *s = arg;

	s->ok[0] = syscall(SYS_setresuid, -1, STRANGER, -1) == 0;
	call(s);
	s->ok[1] = syscall(SYS_setresuid, -1, 0, -1) == 0;
}

static void strangers_are_not_heard(void **state)
{
	static const uid_t uids[] = {4711, STRANGER};
	struct scene *s = *state;

	if (geteuid() != 0)
		skip();
	s->request = "{\"op\":\"status\"}";
	/* the file's mode keeps them out; where it does not, the uid does; unless it is on the list */
	for (int i = 0; i < 3; i++) {
		s->config.mode = i ? 0666 : 0600;
		s->config.uids = uids;
		s->config.n_uids = i == 2 ? 2 : 1;
		serve(s);
		play(s, call_as_a_stranger);
		assert_true(s->ok[0] && s->ok[1]);
		assert_int_equal(s->result, i == 2 ? 0 : -EACCES);
		if (i < 2)
			assert_mentions(&s->err, s->path);
		assert_int_equal(s->requests, i == 2);
		km_control_free(KM_TAKE(s->control));
	}
	assert_int_equal(s->uid, STRANGER);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_call_is_answered),
		TEST(an_error_travels_with_its_code),
		TEST(large_replies_arrive_and_have_a_limit),
		TEST(a_request_that_is_too_long_is_told_so),
		TEST(bad_requests_are_answered),
		TEST(a_half_closed_peer_is_answered),
		TEST(an_endless_line_is_cut_off),
		TEST(peers_have_a_limit),
		TEST(a_slow_peer_has_its_time_and_no_more),
		TEST(a_peer_that_does_not_read_is_cut_off),
		TEST(freed_with_peers),
		TEST(strangers_are_not_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
