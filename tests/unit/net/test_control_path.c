/* SPDX-License-Identifier: Apache-2.0 */
/* The local doors: what stands at the path of the socket before, meanwhile and after, and calls that nobody answers. */
#include "net/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/unit/support/check.h"

#define MS KM_USEC_PER_MSEC

struct scene {
	struct km_loop *loop;
	struct km_control *control;
	char folder[40], path[64];
	struct km_err err;
	struct km_control_config config;
	int fd, more[8];
	const char *says; /* what the fake server answers */
};

static json_t *answer(const char *op, json_t *request, uid_t peer, void *arg)
{
	return json_object();
}

static int set_up(void **state)
{
	static struct scene s;

	s = (struct scene){.folder = "/tmp/km-test-control-XXXXXX", .fd = -1};
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(s.folder) || km_loop_new(&s.loop, NULL) < 0)
		return -1;
	snprintf(s.path, sizeof(s.path), "%s/control.sock", s.folder);
	s.config = (struct km_control_config){.path = s.path, .fd = -1, .fn = answer};
	for (size_t i = 0; i < KM_ARRAY_LEN(s.more); i++)
		s.more[i] = -1;
	*state = &s;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	km_control_free(s->control);
	km_loop_free(s->loop);
	if (s->fd >= 0)
		close(s->fd);
	for (size_t i = 0; i < KM_ARRAY_LEN(s->more); i++)
		if (s->more[i] >= 0)
			close(s->more[i]);
	unlink(s->path);
	return rmdir(s->folder);
}

static struct sockaddr_un address_of(const struct scene *s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, s->path, strlen(s->path) + 1);
	return address;
}

/* A socket of somebody else at the path. */
static void occupy(struct scene *s, int type, int backlog)
{
	const struct sockaddr_un address = address_of(s);

	s->fd = socket(AF_UNIX, type, 0);
	assert_int_equal(bind(s->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(s->fd, backlog), 0);
}

static ino_t inode(const struct scene *s)
{
	struct stat st;

	return stat(s->path, &st) < 0 ? 0 : st.st_ino;
}

static int serve(struct scene *s)
{
	return km_control_new(s->loop, &s->config, &s->control, &s->err);
}

/* ---- the path ---- */

static void the_file_has_its_mode_and_goes_at_the_end(void **state)
{
	static const mode_t modes[] = {0, 0600, 0660, 0666};
	struct scene *s = *state;
	const mode_t before = umask(0);

	for (size_t i = 0; i < KM_ARRAY_LEN(modes); i++) {
		struct stat st;

		(void)umask(i & 1 ? 0077 : 0);
		s->config.mode = modes[i];
		assert_int_equal(serve(s), 0);
		assert_int_equal(umask(0), i & 1 ? 0077 : 0); /* as it was */
		assert_int_equal(stat(s->path, &st), 0);
		assert_true(S_ISSOCK(st.st_mode));
		assert_int_equal(st.st_mode & 07777, modes[i] ? modes[i] : 0600);
		km_control_free(KM_TAKE(s->control));
		assert_int_equal(inode(s), 0);
	}
	(void)umask(before);
}

static void a_stale_socket_is_replaced(void **state)
{
	struct scene *s = *state;

	occupy(s, SOCK_STREAM, 1);
	close(s->fd);
	s->fd = -1;
	assert_true(inode(s) != 0);
	if (serve(s) < 0)
		fail_msg("%s", s->err.text);
}

static void a_live_socket_is_left_alone(void **state)
{
	struct scene *s = *state;
	ino_t before;

	occupy(s, SOCK_STREAM, 1);
	before = inode(s);
	assert_int_equal(serve(s), -EADDRINUSE);
	assert_mentions(&s->err, s->path);
	assert_int_equal(inode(s), before);
	assert_null(s->control);
	/* also when it is so busy that it takes nobody in */
	for (size_t i = 0; i < KM_ARRAY_LEN(s->more); i++) {
		const struct sockaddr_un address = address_of(s);

		s->more[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(s->more[i], (const struct sockaddr *)&address, sizeof(address));
	}
	assert_int_equal(serve(s), -EADDRINUSE);
	assert_int_equal(inode(s), before);
}

static void what_is_not_a_stale_socket_of_ours_is_left_alone(void **state)
{
	struct scene *s = *state;
	ino_t before;

	occupy(s, SOCK_DGRAM, 0);
	before = inode(s);
	assert_true(serve(s) < 0);
	assert_mentions(&s->err, s->path);
	assert_int_equal(inode(s), before);
	close(s->fd);
	unlink(s->path);
	s->fd = open(s->path, O_CREAT | O_WRONLY, 0600);
	before = inode(s);
	assert_int_equal(serve(s), -EEXIST);
	assert_mentions(&s->err, "no socket");
	assert_int_equal(inode(s), before);
	unlink(s->path);
	assert_int_equal(symlink("/nonexistent/x", s->path), 0);
	assert_int_equal(serve(s), -EEXIST);
	unlink(s->path);
	assert_null(s->control);
}

static void unusable_paths(void **state)
{
	struct scene *s = *state;
	char path[200];

	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	s->config.path = path;
	assert_int_equal(serve(s), -ENAMETOOLONG);
	s->config.path = "/nonexistent/km/control.sock";
	assert_int_equal(serve(s), -ENOENT);
	assert_mentions(&s->err, "/nonexistent/km/control.sock");
	assert_null(s->control);
}

static void a_passed_socket_is_used_and_its_file_stays(void **state)
{
	struct scene *s = *state;
	const struct sockaddr_un address = address_of(s);

	occupy(s, SOCK_STREAM, 1);
	s->config.fd = s->fd;
	s->fd = -1; /* the server's from here on */
	assert_int_equal(serve(s), 0);
	s->more[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(s->more[0], (const struct sockaddr *)&address, sizeof(address)), 0);
	while (km_control_idle_since(s->control) != 0)
		assert_int_equal(event_base_loop(km_loop_base(s->loop), EVLOOP_ONCE), 0);
	close(s->more[0]);
	s->more[0] = -1;
	while (km_control_idle_since(s->control) == 0)
		assert_int_equal(event_base_loop(km_loop_base(s->loop), EVLOOP_ONCE), 0);
	km_control_free(KM_TAKE(s->control));
	assert_true(inode(s) != 0);
}

/* ---- calls that go wrong ---- */

static int call(struct scene *s, uint64_t deadline_us)
{
	json_t *request = json_pack("{s:s}", "op", "status"), *reply = NULL;
	int r = km_control_call(s->path, request, deadline_us, &reply, NULL, &s->err);

	json_decref(request);
	assert_null(reply);
	assert_mentions(&s->err, s->path);
	return r;
}

static void nobody_is_there(void **state)
{
	struct scene *s = *state;

	assert_int_equal(call(s, KM_USEC_PER_SEC), -ENOENT);
	occupy(s, SOCK_STREAM, 1);
	close(s->fd);
	s->fd = -1;
	assert_int_equal(call(s, KM_USEC_PER_SEC), -ECONNREFUSED);
}

/* The deadline covers connecting: a server that hangs lets its queue fill up, and then connect() waits. */
static void a_server_that_hangs(void **state)
{
	struct scene *s = *state;

	occupy(s, SOCK_STREAM, 1);
	for (int i = 0; i < 6; i++) {
		uint64_t from = km_now_us(), took;

		assert_int_equal(call(s, 30 * MS), -ETIMEDOUT);
		took = km_now_us() - from;
		assert_true(took >= 30 * MS && took < 2000 * MS);
		/* its connection stays in the queue: the server takes nobody in */
	}
}

static void answer_anything(void *arg)
{
	struct scene *s = arg;
	int fd = accept(s->fd, NULL, NULL);
	char byte = 0;

	while (byte != '\n' && recv(fd, &byte, 1, 0) == 1)
		;
	if (send(fd, s->says, strlen(s->says), MSG_NOSIGNAL) < 0)
		abort();
	close(fd);
}

static void answered(void *arg) {}

static void answers_that_are_none(void **state)
{
	static const struct {
		const char *says;
		int error;
	} rows[] = {
		{"", -EACCES},
		{"{\"a\":", -EACCES}, /* cut */
		{"\n", -EBADMSG},
		{"hello\n", -EBADMSG},
		{"[1]\n", -EBADMSG},
		{"{} {}\n", -EBADMSG},
	};
	struct scene *s = *state;

	occupy(s, SOCK_STREAM, 1);
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		s->says = rows[i].says;
		assert_int_equal(km_loop_work(s->loop, answer_anything, answered, s), 0);
		assert_int_equal(call(s, 10 * KM_USEC_PER_SEC), rows[i].error);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_file_has_its_mode_and_goes_at_the_end),
		TEST(a_stale_socket_is_replaced),
		TEST(a_live_socket_is_left_alone),
		TEST(what_is_not_a_stale_socket_of_ours_is_left_alone),
		TEST(unusable_paths),
		TEST(a_passed_socket_is_used_and_its_file_stays),
		TEST(nobody_is_there),
		TEST(a_server_that_hangs),
		TEST(answers_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
