/* Are the keys kept out of swap? libsodium asks for that and does not say whether it was
 * granted. */
#ifndef P2PD_MEMORY_LOCK_H
#define P2PD_MEMORY_LOCK_H

#include <stdbool.h>

/* True: memory that holds keys is not locked, as far as this system lets us see. */
bool memory_lock_is_missing(void);

#endif
