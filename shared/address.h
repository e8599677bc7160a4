/* A UDP endpoint as p2pd keeps it: sixteen bytes of IPv6 (IPv4 in its mapped form
 * ::ffff:a.b.c.d, RFC 4291 2.5.5.2) and a port. Pure: no lookup, no socket. Both programs use
 * it; the 18-byte packed form is the one on the wire. */
#ifndef P2PD_ADDRESS_H
#define P2PD_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_PORT_DEFAULT 58008
#define ADDRESS_WIRE_LEN 18
/* "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535" and its NUL. */
#define ADDRESS_TEXT_MAX 56

struct address {
    uint8_t ip[16]; /* network order */
    uint16_t port;  /* host order; 0 = not given */
};

/* Parse IP, IP:PORT, IPv6 or [IPv6]:PORT, with an optional leading "udp://". A missing port
 * leaves port 0. Returns 0, or -EINVAL and *ret_address is not written. */
int address_parse(const char *text, struct address *ret_address);

/* Write "1.2.3.4:5" or "[2001:db8::1]:5"; without the port where it is 0 or with_port is false
 * (then no brackets). */
void address_format(const struct address *address, bool with_port, char ret_text[ADDRESS_TEXT_MAX]);

bool address_is_ipv4(const struct address *address);
bool address_is_unspecified(const struct address *address);
/* Why no single node can be reached at the address: it means every address, or a group, or needs a
 * zone. NULL: one can. */
const char *address_problem(const struct address *address);
/* What is wrong with a text that address_parse refuses, if it was meant as an address; NULL:
 * nothing that could be said. */
const char *address_explain(const char *text);
/* Is it loopback, RFC 1918, link-local or unique local? The limit of neighbours in one network does
 * not apply to those. */
bool address_is_private(const struct address *address);
bool address_is_equal(const struct address *a, const struct address *b);   /* ip and port */
bool address_is_same_ip(const struct address *a, const struct address *b); /* ip alone */
/* Is `address` what was asked for, where port 0 asks for the IP alone? */
static inline bool address_matches(const struct address *address, const struct address *asked) {
    return address_is_same_ip(address, asked) && (asked->port == 0 || address->port == asked->port);
}
/* The network an address belongs to, for diversity: its IPv4 /16 or IPv6 /32, as a comparable
 * number. */
uint64_t address_network(const struct address *address);

void address_pack(const struct address *address, uint8_t ret_wire[ADDRESS_WIRE_LEN]);
void address_unpack(const uint8_t wire[ADDRESS_WIRE_LEN], struct address *ret_address);

#endif
