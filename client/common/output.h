/* Standard output. Remote text never reaches the terminal unescaped. */
#ifndef P2PD_CLIENT_OUTPUT_H
#define P2PD_CLIENT_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

/* Flush standard output. 0, or -errno: not everything was written. */
int output_flush(void);

/* Print remote bytes, escaped as pull does. */
void output_escaped(const uint8_t *bytes, size_t length);

/* If we were started without standard input, output or error, the daemon's socket would get that
 * descriptor, and would get what we print. So a file that cannot be used that way is opened in its
 * place, and writing to it fails. */
void output_guard(void);

#endif
