/* Routes, as `route` and `push --trace` print them. */
#ifndef P2PCTL_ROUTE_H
#define P2PCTL_ROUTE_H

#include "proto/control.pb-c.h"

/* A line for each path: relays, then the destination. */
void routes_print(const P2pd__Control__Routes *routes);
/* An array of paths, each an array of {address, name, id}. */
void routes_print_json_paths(const P2pd__Control__Routes *routes);

#endif
