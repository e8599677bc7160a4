/* How many bits a choice among so many is. */
#ifndef P2PD_CLIENT_BITS_H
#define P2PD_CLIENT_BITS_H

#include <math.h>

#define BITS_DIGITS 20 /* binary digits after the point: more than are shown */

/* The binary logarithm; 0 for numbers below 1. frexp() is in the C library, while log2() would make
 * every p2pctl load the mathematical library, a tenth of what a push costs. */
static inline double bits_of(double choices) {
    int whole;
    if (!(choices >= 1))
        return 0;
    double fraction = 0, mantissa = 2 * frexp(choices, &whole); /* 1 to 2 */
    for (int i = 1; i <= BITS_DIGITS; i++) {
        mantissa *= mantissa;
        if (mantissa >= 2) {
            mantissa /= 2;
            fraction += ldexp(1, -i);
        }
    }
    return whole - 1 + fraction;
}

#endif
