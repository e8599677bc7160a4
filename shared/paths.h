/* Default places of the control socket and the state folder, for both programs. */
#ifndef P2PD_PATHS_H
#define P2PD_PATHS_H

#include <stddef.h>

#define PATHS_MAX 4096

/* The state folder: root /var/lib/p2pd; else $XDG_STATE_HOME/p2pd or ~/.local/state/p2pd (the
 * home of the password file where HOME is unset). 0, -ENAMETOOLONG, or -ENOENT: no home. */
int paths_state(char *ret_path, size_t size);
/* The control socket: root /run/p2pd/p2pd.sock (/var/run where there is no
 * /run); else $XDG_RUNTIME_DIR/p2pd.sock; else p2pd.sock
 * in the state folder. */
int paths_socket(char *ret_path, size_t size);

#endif
