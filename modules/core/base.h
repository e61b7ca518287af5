/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few macros every file uses: cleanup attributes with explicit hand-over, magic numbers for pointers that cross a
 * foreign library, compiler attributes. No functions with behaviour of their own.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Runs F(&variable) when the variable goes out of scope. Hand the value over with KM_TAKE. */
#define _cleanup_(f)     __attribute__((cleanup(f)))
#define _must_check_     __attribute__((warn_unused_result))
#define _printf_(fmt, a) __attribute__((format(printf, fmt, a)))
#define _unused_         __attribute__((unused))

#define KM_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define KM_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define KM_MAX(a, b)    ((a) > (b) ? (a) : (b))

/* The value of a pointer variable, which is NULL afterwards: ownership moves to whoever receives it. */
#define KM_TAKE(p)                                      \
	({                                              \
		__typeof__(p) *km_take_p_ = &(p);       \
		__typeof__(p) km_take_v_ = *km_take_p_; \
		*km_take_p_ = NULL;                     \
		km_take_v_;                             \
	})

/* The object of TYPE that holds MEMBER at PTR. */
#define km_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * An object whose address passes through libevent, curl or OpenSSL as void * starts with `uint32_t magic`. This cast
 * checks it; the assert stays on in release builds (the build never sets NDEBUG), because going on with a stale pointer
 * is worse than stopping. Destructors set magic to 0.
 */
#define KM_CAST(type, ptr, number)                                   \
	({                                                           \
		type *km_cast_p_ = (ptr);                            \
		assert(km_cast_p_ && km_cast_p_->magic == (number)); \
		km_cast_p_;                                          \
	})

static inline void km_freep(void *p)
{
	void **pp = p;

	free(*pp);
	*pp = NULL;
}

#define _cleanup_free_ _cleanup_(km_freep)
