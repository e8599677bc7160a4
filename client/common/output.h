/* Standard output. Remote text never reaches the terminal unescaped. */
#ifndef P2PD_CLIENT_OUTPUT_H
#define P2PD_CLIENT_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

/* Flush. 0, or -errno: not everything was written. */
int output_flush(void);

/* Remote bytes, escaped as pull does. */
void output_escaped(const uint8_t *bytes, size_t length);

/* Were we started without standard input, output or error, the socket would take its place and get
 * what we print. Something that cannot be used that way is put there, so that writing fails. */
void output_guard(void);

#endif
