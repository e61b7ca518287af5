/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64. OpenSSL's decoder forgives what Go refuses (spaces, missing padding), so it is not used here.
 */
#include "kube/base64.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Returns the number of bytes, or -1. */
static ssize_t decode(const char *text, size_t len, char *out)
{
	uint32_t group = 0;
	unsigned have = 0, padding = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n' || text[i] == '\r')
			continue;
		if (text[i] == '=') {
			if (have + padding < 2 || have + padding > 3)
				return -1;
			padding++;
			continue;
		}
		int d = digit(text[i]);
		if (d < 0 || padding > 0)
			return -1;
		group = group << 6 | (uint32_t)d;
		if (++have == 4) {
			out[n++] = (char)(group >> 16);
			out[n++] = (char)(group >> 8);
			out[n++] = (char)group;
			group = 0;
			have = 0;
		}
	}
	if (have == 0)
		return padding == 0 ? (ssize_t)n : -1;
	if (have + padding != 4 || (group & (have == 2 ? 0xfU : 0x3U)) != 0)
		return -1;
	group <<= have == 2 ? 12 : 6;
	out[n++] = (char)(group >> 16);
	if (have == 3)
		out[n++] = (char)(group >> 8);
	return (ssize_t)n;
}

int kube_base64_decode(const char *text, size_t len, size_t max, char **ret, size_t *ret_len)
{
	ssize_t n;
	char *out;

	if (len / 4 * 3 > max + max / 16 + 4) /* some room for line breaks; the exact size is checked below */
		return -EMSGSIZE;
	out = malloc(len / 4 * 3 + 4);
	if (!out)
		return -ENOMEM;
	n = decode(text, len, out);
	if (n < 0 || (size_t)n > max) {
		OPENSSL_cleanse(out, len / 4 * 3 + 4);
		free(out);
		return n < 0 ? -EINVAL : -EMSGSIZE;
	}
	out[n] = '\0';
	*ret = out;
	*ret_len = (size_t)n;
	return 0;
}

void kube_base64_encode(const void *bytes, size_t len, struct km_buf *out)
{
	const unsigned char *in = bytes;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = KM_MIN(len - i, (size_t)3);
		uint32_t group =
			(uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (n > 2 ? in[i + 2] : 0);
		char quad[4] = {alphabet[group >> 18], alphabet[group >> 12 & 63],
			n > 1 ? alphabet[group >> 6 & 63] : '=', n > 2 ? alphabet[group & 63] : '='};
		km_buf_add(out, quad, sizeof(quad));
	}
}
