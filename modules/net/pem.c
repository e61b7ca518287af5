/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PEM blocks; see pem.h. Each byte is looked at a fixed number of times, whatever the input: a BEGIN without END ends
 * at the next BEGIN.
 */
#include "net/pem.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

static const char begin_mark[] = "-----BEGIN ";
static const char end_mark[] = "-----END ";
static const char dashes[] = "-----";

/* The line that starts at p: its end without line feed and spaces; *ret_next is where the next one starts. */
static const char *line_end(const char *p, const char *end, const char **ret_next)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p));
	const char *stop = nl ? nl : end;

	*ret_next = nl ? nl + 1 : end;
	while (stop > p && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
		stop--;
	return stop;
}

/* Whether the line [p, stop) is `mark` LABEL `-----`; the label's bytes if so. */
static bool is_mark(const char *p, const char *stop, const char *mark, const char **ret_label, size_t *ret_len)
{
	size_t n = (size_t)(stop - p), head = strlen(mark), tail = strlen(dashes);

	if (n < head + tail || memcmp(p, mark, head) != 0 || memcmp(stop - tail, dashes, tail) != 0)
		return false;
	*ret_label = p + head;
	*ret_len = n - head - tail;
	return true;
}

static bool is_header(const char *p, const char *stop)
{
	return memchr(p, ':', (size_t)(stop - p)) != NULL;
}

static bool has_text(const char *p, const char *stop, const char *text)
{
	return memmem(p, (size_t)(stop - p), text, strlen(text)) != NULL;
}

/* Reads what follows a BEGIN line. Leaves *p behind the END line, or at whatever showed that there is none. */
static void read_block(const char **p, const char *end, const char *label, size_t label_len, struct km_pem_block *b)
{
	const char *line = *p, *next, *end_label;
	size_t end_label_len;
	bool in_headers = true;

	b->damaged = true;
	b->body = line;
	for (; line < end; line = next) {
		const char *stop = line_end(line, end, &next);

		if (is_mark(line, stop, begin_mark, &end_label, &end_label_len))
			break;
		if (is_mark(line, stop, end_mark, &end_label, &end_label_len)) {
			b->damaged = end_label_len != label_len || memcmp(end_label, label, label_len) != 0;
			b->body_len = (size_t)(line - b->body);
			*p = next;
			return;
		}
		if (in_headers && is_header(line, stop)) {
			if (has_text(line, stop, "Proc-Type") && has_text(line, stop, "ENCRYPTED"))
				b->encrypted = true;
			b->body = next;
		} else if (stop > line) {
			in_headers = false;
		}
	}
	*p = line;
}

int km_pem_next(const char **p, const char *end, struct km_pem_block *ret)
{
	const char *line = *p, *next;

	for (; line < end; line = next) {
		const char *label, *stop = line_end(line, end, &next);
		size_t len;

		if (!is_mark(line, stop, begin_mark, &label, &len))
			continue;
		*ret = (struct km_pem_block){0};
		memcpy(ret->label, label, KM_MIN(len, sizeof(ret->label) - 1));
		*p = next;
		read_block(p, end, label, len, ret);
		return 1;
	}
	*p = end;
	return 0;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int km_pem_decode(const struct km_pem_block *block, unsigned char **ret, size_t *ret_len)
{
	size_t cap = block->body_len / 4 * 3 + 3, len = 0, digits = 0, padding = 0;
	unsigned char *bytes;
	uint32_t group = 0;

	if (block->damaged)
		return -EBADMSG;
	bytes = malloc(cap);
	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < block->body_len; i++) {
		char c = block->body[i];
		int v = base64_value(c);

		if (c == '\n' || c == '\r' || c == ' ' || c == '\t')
			continue;
		if (c == '=') {
			padding++;
			continue;
		}
		if (v < 0 || padding)
			goto fail;
		group = group << 6 | (uint32_t)v;
		if (++digits % 4 == 0) {
			bytes[len++] = (unsigned char)(group >> 16);
			bytes[len++] = (unsigned char)(group >> 8);
			bytes[len++] = (unsigned char)group;
			group = 0;
		}
	}
	if (digits == 0 || digits % 4 == 1 || (digits + padding) % 4 != 0 || padding > 2)
		goto fail;
	if (digits % 4 >= 2)
		bytes[len++] = (unsigned char)(group >> (digits % 4 == 2 ? 4 : 10));
	if (digits % 4 == 3)
		bytes[len++] = (unsigned char)(group >> 2);
	*ret = bytes;
	*ret_len = len;
	return 0;
fail:
	OPENSSL_clear_free(bytes, cap);
	return -EBADMSG;
}
