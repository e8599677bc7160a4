/* Routes, as `route` and `push --trace` print them. */
#ifndef P2PCTL_ROUTE_H
#define P2PCTL_ROUTE_H

#include "proto/control.pb-c.h"

/* A line for each path: relays, then the destination. */
void routes_print(const P2pd__Control__Routes *routes);

#endif
