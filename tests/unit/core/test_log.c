/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/support/check.h"

/* stderr is another file during a test; what comes out there is read at `out`. */
struct rig {
	int out, saved;
	char folder[64], path[108];
};

static void become_stderr(struct rig *g, int fd)
{
	g->saved = dup(STDERR_FILENO);
	assert_true(g->saved >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	close(fd);
}

static int setup(void **state)
{
	static struct rig rig;

	rig = (struct rig){.out = -1, .saved = -1};
	unsetenv("JOURNAL_STREAM");
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *g = *state;

	km_log_set_sink(NULL, NULL);
	km_log_set_journal_socket(NULL);
	if (g->saved >= 0) {
		dup2(g->saved, STDERR_FILENO);
		close(g->saved);
	}
	if (g->out >= 0)
		close(g->out);
	if (g->path[0])
		unlink(g->path);
	if (g->folder[0])
		rmdir(g->folder);
	return 0;
}

static void to_pipe(struct rig *g)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	become_stderr(g, fds[1]);
	g->out = fds[0];
	km_log_open("test", LOG_INFO);
}

/* stderr is a pipe that is said to be the journal's; the journal's socket is ours. */
static void to_journal(struct rig *g)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	char stream[64];

	to_pipe(g);
	close(g->out);
	snprintf(g->folder, sizeof(g->folder), "/tmp/km-log-XXXXXX");
	assert_non_null(mkdtemp(g->folder));
	snprintf(g->path, sizeof(g->path), "%s/socket", g->folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", g->path);
	g->out = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(g->out >= 0);
	assert_int_equal(bind(g->out, (struct sockaddr *)&address, sizeof(address)), 0);
	km_log_set_journal_socket(g->path);
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	km_log_open("test", LOG_INFO);
}

/* What has come out so far (one datagram from the journal's socket), or "". */
static const char *output(const struct rig *g, size_t *ret_len)
{
	static char text[65536];
	ssize_t n;

	fcntl(g->out, F_SETFL, O_NONBLOCK);
	n = read(g->out, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	if (ret_len)
		*ret_len = n > 0 ? (size_t)n : 0;
	return text;
}

static void lines_have_a_priority(void **state)
{
	static const struct km_log_fields fields = {.module = "aggregator", .node = "n1"};
	struct rig *g = *state;

	to_pipe(g);
	km_log(LOG_ERR, NULL, "one %d", 1);
	km_log(LOG_INFO, &fields, "two");
	km_log(LOG_DEBUG, NULL, "not wanted");
	assert_string_equal(output(g, NULL), "<3>one 1\n<6>aggregator: two\n");
	km_log_set_level(LOG_DEBUG);
	km_log(LOG_DEBUG, NULL, "wanted");
	assert_string_equal(output(g, NULL), "<7>wanted\n");
}

static void terminals_get_words(void **state)
{
	static const struct km_log_fields fields = {.module = "hpa"};
	struct rig *g = *state;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	become_stderr(g, slave);
	g->out = master;
	km_log_open("test", LOG_INFO);
	km_log(LOG_WARNING, &fields, "text");
	assert_string_equal(output(g, NULL), "warning hpa: text\r\n");
}

/* Names and replies are other people's bytes. */
static void lines_cannot_be_forged(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"a\n<2>forged", "a\\x0a<2>forged"},
		{"\x1b[2Jx\r\t\x7f", "\\x1b[2Jx\\x0d\\x09\\x7f"},
		{"\xc2\x9b"
		 "2J",
			"\\xc2\\x9b2J"},
		{"\xff\xc3", "\\xff\\xc3"},
		{"K\xc3\xb6ln \xe2\x82\xac \xc2\xa0", "K\xc3\xb6ln \xe2\x82\xac \xc2\xa0"},
	};
	struct rig *g = *state;

	to_pipe(g);
	for (size_t i = 0; i < KM_ARRAY_LEN(rows); i++) {
		char want[128];

		km_log(LOG_ERR, NULL, "%s", rows[i].in);
		snprintf(want, sizeof(want), "<3>%s\n", rows[i].out);
		assert_string_equal(output(g, NULL), want);
	}
}

static void long_lines_are_cut(void **state)
{
	static char text[3 * PIPE_BUF];
	struct rig *g = *state;
	const char *line;
	size_t len;

	to_pipe(g);
	for (int round = 0; round < 2; round++) {
		memset(text, round ? '\n' : 'x', sizeof(text) - 1);
		km_log(LOG_ERR, NULL, "%s", text);
		line = output(g, &len);
		assert_true(len > PIPE_BUF - 200 && len <= PIPE_BUF);
		assert_int_equal(line[len - 1], '\n');
		assert_null(memchr(line, '\n', len - 1));
	}
}

/* Nobody reads: lines are dropped, nothing blocks, and the next line that goes through says how many. */
static void a_stalled_pipe_drops_lines(void **state)
{
	struct rig *g = *state;
	uint64_t before = km_log_dropped(), dropped;
	const char *text = "";
	char want[64];

	to_pipe(g);
	for (int i = 0; i < 100000 && km_log_dropped() == before; i++)
		km_log(LOG_ERR, NULL, "%0100d", i);
	assert_int_equal(km_log_dropped(), before + 1);
	km_log(LOG_ERR, NULL, "lost");
	km_log(LOG_ERR, NULL, "lost too");
	dropped = km_log_dropped() - before;
	assert_int_equal(dropped, 3);
	while (*output(g, NULL))
		;
	km_log(LOG_ERR, NULL, "back");
	text = output(g, NULL);
	snprintf(want, sizeof(want), "<4>%d log lines were dropped", (int)dropped);
	assert_memory_equal(text, want, strlen(want));
	assert_non_null(strstr(text, "\n<3>back\n"));
	assert_null(strstr(text, "lost"));
	km_log(LOG_ERR, NULL, "again");
	assert_string_equal(output(g, NULL), "<3>again\n");
}

static void a_closed_pipe_does_not_kill(void **state)
{
	struct rig *g = *state;
	uint64_t before = km_log_dropped();

	to_pipe(g);
	close(g->out);
	g->out = -1;
	km_log(LOG_ERR, NULL, "nobody reads"); /* would be SIGPIPE */
	assert_int_equal(km_log_dropped(), before + 1);
}

static void the_journal_gets_fields(void **state)
{
	static const struct km_log_fields fields = {.module = "hpa",
		.namespace_ = "shop",
		.hpa = "web",
		.pod = "a\nPRIORITY=0",
		.message_id = "0123456789abcdef0123456789abcdef"};
	static const char want[] =
		"MESSAGE=text\nPRIORITY=5\nSYSLOG_IDENTIFIER=test\nKM_MODULE=hpa\nKM_NAMESPACE=shop\n"
		"KM_POD\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\nKM_HPA=web\n"
		"MESSAGE_ID=0123456789abcdef0123456789abcdef\n";
	static const struct km_log_fields node = {.node = "n1"};
	struct rig *g = *state;
	size_t len;
	const char *got;

	to_journal(g);
	km_log(LOG_INFO, NULL, "words of earlier tests are told first");
	while (*output(g, NULL))
		;
	km_log(LOG_NOTICE, &fields, "text");
	got = output(g, &len);
	assert_int_equal(len, sizeof(want) - 1);
	assert_memory_equal(got, want, len);
	km_log(LOG_ERR, &node, "a\nb");
	assert_string_equal(output(g, NULL), "MESSAGE=a\\x0ab\nPRIORITY=3\nSYSLOG_IDENTIFIER=test\nKM_NODE=n1\n");
}

static void a_stalled_journal_drops_lines(void **state)
{
	struct rig *g = *state;
	uint64_t before = km_log_dropped();
	size_t len;

	to_journal(g);
	for (int i = 0; i < 100000 && km_log_dropped() == before; i++)
		km_log(LOG_ERR, NULL, "%0100d", i);
	assert_int_equal(km_log_dropped(), before + 1);
	do
		output(g, &len);
	while (len > 0);
	km_log(LOG_ERR, NULL, "back");
	assert_non_null(strstr(output(g, NULL), "MESSAGE=1 log lines were dropped"));
	assert_non_null(strstr(output(g, NULL), "MESSAGE=back\n"));
	/* the journal is gone altogether */
	close(g->out);
	g->out = -1;
	km_log(LOG_ERR, NULL, "lost");
	assert_int_equal(km_log_dropped(), before + 2);
}

/* A service whose stderr goes elsewhere inherits JOURNAL_STREAM all the same. */
static void another_stream_is_not_the_journal(void **state)
{
	static const char *const streams[] = {"1:2", "", "x", "18446744073709551616:", "-1:-1"};
	struct rig *g = *state;

	to_pipe(g);
	km_log(LOG_INFO, NULL, "words of earlier tests are told first");
	output(g, NULL);
	for (size_t i = 0; i < KM_ARRAY_LEN(streams); i++) {
		setenv("JOURNAL_STREAM", streams[i], 1);
		km_log_open("test", LOG_INFO);
		km_log(LOG_INFO, NULL, "here");
		assert_string_equal(output(g, NULL), "<6>here\n");
	}
}

static void sink(int level, const struct km_log_fields *fields, const char *text, void *arg)
{
	snprintf(arg, 64, "%d %s %s", level, fields ? fields->module : "-", text);
}

#define KM_LOG_MODULE "wiring"

static void a_sink_takes_all(void **state)
{
	struct rig *g = *state;
	char text[64] = "";

	to_pipe(g);
	km_log_set_sink(sink, text);
	km_log(LOG_ERR, NULL, "a\nb");
	assert_string_equal(text, "3 - a\\x0ab");
	km_log_m(LOG_INFO, "%s", "c");
	assert_string_equal(text, "6 wiring c");
	km_log_m(LOG_DEBUG, "not wanted");
	assert_string_equal(text, "6 wiring c");
	assert_string_equal(output(g, NULL), "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_have_a_priority),
		TEST(terminals_get_words),
		TEST(lines_cannot_be_forged),
		TEST(long_lines_are_cut),
		TEST(a_stalled_pipe_drops_lines),
		TEST(a_closed_pipe_does_not_kill),
		TEST(the_journal_gets_fields),
		TEST(a_stalled_journal_drops_lines),
		TEST(another_stream_is_not_the_journal),
		TEST(a_sink_takes_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
