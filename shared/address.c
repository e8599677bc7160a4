/* Addresses come from users, configuration files and strangers' descriptors. The parser
 * therefore takes whole strings only: no names, no octal, no trailing bytes, no zone index, and
 * nothing that the system's resolver would be asked about. */
#include "shared/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* 1..65535 in decimal, without sign, space or leading zero. */
static int parse_port(const char *text, uint16_t *ret_port) {
    unsigned value = 0;
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 5 || text[length] != '\0' || text[0] == '0')
        return -EINVAL;
    for (size_t i = 0; i < length; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    if (value > UINT16_MAX)
        return -EINVAL;
    *ret_port = (uint16_t)value;
    return 0;
}

static int parse_ip(const char *text, size_t length, int family, uint8_t ret_ip[16]) {
    char copy[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    if (length >= sizeof copy)
        return -EINVAL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (family == AF_INET)
        memcpy(ip, mapped_prefix, sizeof mapped_prefix);
    if (inet_pton(family, copy, family == AF_INET ? ip + 12 : ip) != 1)
        return -EINVAL;
    memcpy(ret_ip, ip, sizeof ip);
    return 0;
}

/* "[IPv6]" or "[IPv6]:PORT"; text is behind the opening bracket. */
static int parse_bracketed(const char *text, struct address *ret_address) {
    struct address address = {.port = 0};
    const char *close = strchr(text, ']');
    if (!close || parse_ip(text, (size_t)(close - text), AF_INET6, address.ip) < 0)
        return -EINVAL;
    if (close[1] != '\0' && (close[1] != ':' || parse_port(close + 2, &address.port) < 0))
        return -EINVAL;
    *ret_address = address;
    return 0;
}

int address_parse(const char *text, struct address *ret_address) {
    struct address address = {.port = 0};
    if (strncmp(text, "udp://", 6) == 0)
        text += 6;
    if (text[0] == '[')
        return parse_bracketed(text + 1, ret_address);
    const char *colon = strchr(text, ':');
    if (colon && strchr(colon + 1, ':')) {
        if (parse_ip(text, strlen(text), AF_INET6, address.ip) < 0)
            return -EINVAL;
    } else {
        size_t length = colon ? (size_t)(colon - text) : strlen(text);
        if (parse_ip(text, length, AF_INET, address.ip) < 0)
            return -EINVAL;
        if (colon && parse_port(colon + 1, &address.port) < 0)
            return -EINVAL;
    }
    *ret_address = address;
    return 0;
}

void address_format(const struct address *address, bool with_port,
                    char ret_text[ADDRESS_TEXT_MAX]) {
    char ip[INET6_ADDRSTRLEN] = "";
    bool ipv4 = address_is_ipv4(address);
    with_port = with_port && address->port != 0;
    inet_ntop(ipv4 ? AF_INET : AF_INET6, ipv4 ? address->ip + 12 : address->ip, ip, sizeof ip);
    if (!with_port)
        snprintf(ret_text, ADDRESS_TEXT_MAX, "%s", ip);
    else if (ipv4)
        snprintf(ret_text, ADDRESS_TEXT_MAX, "%s:%u", ip, (unsigned)address->port);
    else
        snprintf(ret_text, ADDRESS_TEXT_MAX, "[%s]:%u", ip, (unsigned)address->port);
}

bool address_is_ipv4(const struct address *address) {
    return memcmp(address->ip, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool address_is_unspecified(const struct address *address) {
    static const uint8_t zero[16] = {0};
    if (address_is_ipv4(address))
        return memcmp(address->ip + 12, zero, 4) == 0;
    return memcmp(address->ip, zero, sizeof zero) == 0;
}

#define ZONE_PROBLEM                                                                               \
    "a link-local address means nothing without its zone, and p2pd carries none: use a global "    \
    "one, a unique local one (fd..) or IPv4"

const char *address_problem(const struct address *address) {
    const uint8_t *ip = address->ip;
    if (address_is_unspecified(address))
        return "every address of a machine, and not that of a node";
    if (address_is_ipv4(address)) {
        ip += 12;
        return ip[0] == 0                    ? "no address of a machine"
               : ip[0] >= 224 && ip[0] < 240 ? "a multicast address"
               : ip[0] == 255 && ip[1] == 255 && ip[2] == 255 && ip[3] == 255
                   ? "the broadcast address"
                   : NULL;
    }
    if (ip[0] == 0xff)
        return "a multicast address";
    return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80 ? ZONE_PROBLEM : NULL;
}

static bool has_leading_zero(const char *text) {
    for (const char *at = text; *at; at++)
        if (*at == '0' && at[1] >= '0' && at[1] <= '9' && (at == text || at[-1] == '.'))
            return true;
    return false;
}

const char *address_explain(const char *text) {
    struct address address;
    const char *bare = strncmp(text, "udp://", 6) == 0 ? text + 6 : text;
    const char *colon = strrchr(bare, ':'), *close = strchr(bare, ']');
    size_t digits = strspn(bare, "0123456789.");
    uint16_t port;
    if (strchr(bare, '%') && colon)
        return ZONE_PROBLEM;
    if (strchr(bare, '/') && strpbrk(bare, ".:") &&
        strspn(bare, "0123456789abcdefABCDEF.:[]/") == strlen(bare))
        return "one address is wanted, not a network (/)";
    if (*bare == '[' && close &&
        parse_ip(bare + 1, (size_t)(close - bare - 1), AF_INET, address.ip) == 0)
        return "brackets are for IPv6 alone";
    if (digits > 0 && (bare[digits] == '\0' || bare[digits] == ':') && has_leading_zero(bare))
        return "a number with a leading zero, which some read as octal";
    if (colon && parse_port(colon + 1, &port) < 0 &&
        (*bare == '[' ? close && colon == close + 1 : strchr(bare, ':') == colon))
        return "a port is a number from 1 to 65535 without leading zeros";
    return NULL;
}

bool address_is_private(const struct address *address) {
    static const uint8_t loopback[16] = {[15] = 1};
    const uint8_t *ip = address->ip;
    if (address_is_ipv4(address)) {
        ip += 12;
        return ip[0] == 127 || ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
               (ip[0] == 192 && ip[1] == 168) || (ip[0] == 169 && ip[1] == 254);
    }
    return memcmp(ip, loopback, sizeof loopback) == 0 || (ip[0] & 0xfe) == 0xfc ||
           (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}

bool address_is_equal(const struct address *a, const struct address *b) {
    return a->port == b->port && address_is_same_ip(a, b);
}

bool address_is_same_ip(const struct address *a, const struct address *b) {
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

uint64_t address_network(const struct address *address) {
    const uint8_t *ip = address->ip;
    /* Bit 32 keeps an IPv4 /16 from ever equalling an IPv6 /32. */
    if (address_is_ipv4(address))
        return UINT64_C(1) << 32 | (uint64_t)ip[12] << 8 | ip[13];
    return (uint64_t)ip[0] << 24 | (uint64_t)ip[1] << 16 | (uint64_t)ip[2] << 8 | ip[3];
}

void address_pack(const struct address *address, uint8_t ret_wire[ADDRESS_WIRE_LEN]) {
    memcpy(ret_wire, address->ip, 16);
    ret_wire[16] = (uint8_t)(address->port >> 8);
    ret_wire[17] = (uint8_t)address->port;
}

void address_unpack(const uint8_t wire[ADDRESS_WIRE_LEN], struct address *ret_address) {
    memcpy(ret_address->ip, wire, 16);
    ret_address->port = (uint16_t)(wire[16] << 8 | wire[17]);
}
