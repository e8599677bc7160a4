/* The glue between the node and the system: a libev loop that turns what happens into events of
 * the core, and carries out what the core asks for. It makes no decision of the protocol. */
#ifndef P2PD_SHELL_H
#define P2PD_SHELL_H

#include "daemon/config/options.h"

struct shell;

/* Open everything, in the order in which failures are best reported: state, keys, sockets, store,
 * control, node. Borrows both arguments until shell_close; a reload writes to `config`. 0, or
 * negative errno and a line for people. */
int shell_open(struct shell **ret_shell, const struct options *options, struct config *config,
               char error[FAILURE_MAX]);
/* Run until SIGTERM, SIGINT or p2pctl stop. Returns the exit code. */
int shell_run(struct shell *shell);
/* Finish the store, so that everything accepted is on disk, and release everything that the next
 * daemon needs. After a stop the process ends within 5 s even if this hangs. Takes NULL. */
void shell_release(struct shell *shell);
/* The same, and close the control connections: p2pctl stop waits for that, and a new daemon may
 * start then. Takes NULL. */
void shell_close(struct shell *shell);

#endif
