/* Text at the edges: remote bytes made safe for terminals, logs and JSON; times; sizes and
 * durations as users type them; hex. Pure. The escapers work in pieces, so that a message of any
 * size goes through a small buffer. */
#ifndef P2PD_TEXT_H
#define P2PD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most that one step of an escaper writes: \xNN for each of four bytes. */
#define TEXT_ESCAPE_STEP 16
/* "1970-01-01T00:00:00.000Z" takes 25; room for whatever seven ints could print. */
#define TEXT_TIME_MAX 88

/* Length (1..4) of the valid UTF-8 sequence at the start, or 0. RFC 3629: no surrogate, no
 * overlong form. */
size_t text_utf8_length(const uint8_t *bytes, size_t length);
bool text_is_utf8(const uint8_t *bytes, size_t length);
/* The code point of a valid sequence of that length. */
uint32_t text_code_point(const uint8_t *sequence, size_t length);
/* Does the character show nothing of its own, or change how others are shown? Controls (C0, DEL,
 * C1), characters that change the direction of writing, separators of lines and paragraphs,
 * invisible and format characters, tags, and code points that will never be characters. Joiners of
 * letters or emoji, and selectors of their form (U+200C, U+200D, U+FE0E, U+FE0F), are not among
 * them: words of some languages and most emoji would fall apart. */
bool text_is_hidden(uint32_t code_point);

/* Escape for terminals and lines: newline as \n, backslash as \\, every byte of a hidden character
 * (text_is_hidden) and of invalid UTF-8 as \xNN. Writes at most `room` bytes (>= TEXT_ESCAPE_STEP,
 * else nothing is done), no NUL; returns how many; *ret_used = bytes of input consumed. */
size_t text_escape(const uint8_t *bytes, size_t length, char *ret_text, size_t room,
                   size_t *ret_used);
/* The same for the inside of a JSON string. A hidden character becomes \uNNNN (a surrogate pair
 * beyond U+FFFF), which a JSON reader turns back; bytes that are not UTF-8 become U+FFFD. */
size_t text_escape_json(const uint8_t *bytes, size_t length, char *ret_text, size_t room,
                        size_t *ret_used);
/* text_escape of a whole C string, NUL-terminated, cut where `room` (>= 1) ends. */
void text_escape_string(const char *string, char *ret_text, size_t room);

/* RFC 3339 UTC with milliseconds, of microseconds since 1970. */
void text_time(int64_t unix_us, char ret_text[TEXT_TIME_MAX]);

/* "16M": decimal digits and an optional K, M or G (powers of 1024). 0 or -EINVAL. */
int text_parse_size(const char *text, uint64_t *ret_bytes);
/* "30s": decimal digits and an optional ms, s, m, h or d; seconds without one. 0 or -EINVAL. */
int text_parse_duration(const char *text, int64_t *ret_us);
/* A point in time as users type it: a day that there is in the calendar, "2026-11-21", of 1970 to
 * 9999, "2026-11-21T03:00", "...T03:00:05", "...T03:00:05.25" (or a space for the T), with "Z" or
 * without (UTC either way) or with "+01:00" or "+0100" behind; "@1795230000" or "@1795230000.25",
 * seconds since 1970; or "2h": so long before `now_us`. Not before 1970. 0 or -EINVAL. */
int text_parse_when(const char *text, int64_t now_us, int64_t *ret_us);
/* Decimal digits alone, at most max. 0 or -EINVAL. */
int text_parse_number(const char *text, uint64_t max, uint64_t *ret_number);

/* Lower-case hex of `length` bytes, and its NUL: 2 * length + 1. */
void text_hex(const uint8_t *bytes, size_t length, char *ret_text);
/* Exactly 2 * length hex digits, either case. 0 or -EINVAL. */
int text_unhex(const char *text, uint8_t *ret_bytes, size_t length);
/* 0..15, or -1. */
int text_hex_digit(char c);

#endif
