/* SPDX-License-Identifier: Apache-2.0 */
#include "core/buf.h"

#include <errno.h>

#include "core/err.h"
#include "tests/unit/support/check.h"

static void grows_and_terminates(void **state)
{
	_cleanup_buf_ struct km_buf b = KM_BUF_INIT(100000);

	(void)state;
	for (int i = 0; i < 5000; i++)
		km_buf_addf(&b, "%d,", i % 10);
	assert_int_equal(b.error, 0);
	assert_int_equal(b.len, 10000);
	assert_int_equal(b.data[b.len], '\0');
	assert_int_equal(strlen(b.data), b.len);
	km_buf_consume(&b, 9998);
	assert_string_equal(b.data, "9,");
	km_buf_reset(&b);
	assert_string_equal(b.data, "");
}

static void the_maximum_is_hard_and_sticks(void **state)
{
	_cleanup_buf_ struct km_buf b = KM_BUF_INIT(10);

	(void)state;
	km_buf_adds(&b, "0123456789");
	assert_int_equal(b.error, 0);
	km_buf_addc(&b, 'x');
	assert_int_equal(b.error, -EMSGSIZE);
	km_buf_adds(&b, "");
	km_buf_addf(&b, "%s", "");
	assert_int_equal(b.error, -EMSGSIZE);
	assert_int_equal(b.len, 10);
	assert_null(km_buf_take(&b, NULL));
	km_buf_reset(&b);
	assert_int_equal(b.error, 0);
	assert_int_equal(km_buf_reserve(&b, SIZE_MAX), -EMSGSIZE);
}

static void take_hands_over(void **state)
{
	struct km_buf b = KM_BUF_INIT(10);
	size_t len = 99;
	char *text = km_buf_take(&b, &len);

	(void)state;
	assert_string_equal(text, "");
	assert_int_equal(len, 0);
	free(text);
	km_buf_adds(&b, "abc");
	text = km_buf_take(&b, &len);
	assert_string_equal(text, "abc");
	assert_int_equal(len, 3);
	assert_null(b.data);
	assert_int_equal(b.max, 10);
	free(text);
}

static void errors_carry_text(void **state)
{
	struct km_err err = {0};
	char longer[2 * KM_ERR_TEXT_MAX];

	(void)state;
	assert_int_equal(km_fail(&err, -EINVAL, "%s is %d", "x", 7), -EINVAL);
	assert_string_equal(err.text, "x is 7");
	km_err_prefix(&err, "in %s", "/a/b");
	assert_string_equal(err.text, "in /a/b: x is 7");
	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	km_fail(&err, -EINVAL, "%s", longer);
	assert_int_equal(strlen(err.text), KM_ERR_TEXT_MAX - 1);
	km_err_prefix(&err, "p");
	assert_memory_equal(err.text, "p: yyy", 6);
	assert_true(strlen(err.text) < KM_ERR_TEXT_MAX);
	km_err_prefix(&err, "%s", longer);
	assert_true(strlen(err.text) < KM_ERR_TEXT_MAX);
	assert_int_equal(km_fail(NULL, -ENOMEM, "nobody listens"), -ENOMEM);
	km_fail(&err, -EINVAL, "why");
	km_fail(&err, -EINVAL, "what: %s; remedy", err.text);
	assert_string_equal(err.text, "what: why; remedy");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_terminates),
		cmocka_unit_test(the_maximum_is_hard_and_sticks),
		cmocka_unit_test(take_hands_over),
		cmocka_unit_test(errors_carry_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
