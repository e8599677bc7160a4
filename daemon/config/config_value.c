/* See config_value.h and config.h. */
#include "daemon/config/config_value.h"

#include "shared/log.h"
#include "shared/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* The core takes the trace level for what it is. */
_Static_assert((int)LOG_LEVEL_ERROR == TRACE_ERROR && (int)LOG_LEVEL_DEBUG == TRACE_DEBUG,
               "one scale");

static void *field(struct config *config, const struct config_key *key) {
    return (char *)config + key->offset;
}
static const void *field_of(const struct config *config, const struct config_key *key) {
    return (const char *)config + key->offset;
}

void config_clear(struct config *config, const struct config_key *key) {
    memset(field(config, key), 0, key->size);
}

/* ---- From text ---- */

/* p2pd-protocol(7) DESCRIPTOR has the same rule: a name must not be mistaken for an address or
 * an id. */
static bool is_node_name(const char *text) {
    size_t length = strlen(text);
    struct address address;
    if (length == 0 || length > NODE_NAME_MAX)
        return false;
    if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != length)
        return false;
    if (length >= 8 && strspn(text, "0123456789abcdefABCDEF") == length)
        return false;
    return address_parse(text, &address) != 0;
}

static int set_text(struct config *config, const struct config_key *key, const char *value,
                    char error[FAILURE_MAX]) {
    size_t length = strlen(value);
    if (length < (size_t)key->min || length > (size_t)key->max)
        return failure(error, -EINVAL, "must have %" PRId64 " to %" PRId64 " characters", key->min,
                       key->max);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            return failure(error, -EINVAL, "holds a control character");
    if (key->type == CONFIG_NAME && !is_node_name(value))
        return failure(
            error, -EINVAL,
            "'%s' is no name: letters, digits, '.', '_', '-', and neither an IP address nor 8 or "
            "more hex digits",
            value);
    config_clear(config, key);
    memcpy(field(config, key), value, length);
    return 0;
}

static int parse_bool(const char *value, int64_t *ret_value) {
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(value, words[i]) == 0) {
            *ret_value = i % 2;
            return 0;
        }
    return -EINVAL;
}

static int parse_octal(const char *value, int64_t *ret_value) {
    size_t length = strlen(value);
    if (length == 0 || length > 5 || strspn(value, "01234567") != length)
        return -EINVAL;
    *ret_value = strtol(value, NULL, 8);
    return 0;
}

/* The words of a CONFIG_CHOICE, as its doc lists them. */
static const char *choices_of(const struct config_key *key) {
    return strrchr(key->doc, ':') + 2;
}

/* The word of that number: where it begins, and its length. */
static const char *choice_word(const struct config_key *key, int64_t number, size_t *ret_length) {
    const char *word = choices_of(key);
    for (int64_t i = key->min; i < number; i++)
        word += strcspn(word, ",") + 2;
    *ret_length = strcspn(word, ",");
    return word;
}

static int parse_choice(const struct config_key *key, const char *value, int64_t *ret_value) {
    for (int64_t i = key->min; i <= key->max; i++) {
        size_t length;
        const char *word = choice_word(key, i, &length);
        if (strlen(value) == length && memcmp(value, word, length) == 0) {
            *ret_value = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_number(const struct config_key *key, const char *value, int64_t *ret_value) {
    uint64_t number = 0;
    enum log_level level;
    int r;
    switch (key->type) {
    case CONFIG_BOOL:
        return parse_bool(value, ret_value);
    case CONFIG_MODE:
        return parse_octal(value, ret_value);
    case CONFIG_CHOICE:
        return parse_choice(key, value, ret_value);
    case CONFIG_DURATION:
        return text_parse_duration(value, ret_value);
    case CONFIG_LEVEL:
        r = log_parse_level(value, &level);
        number = r == 0 ? (uint64_t)level : 0;
        break;
    case CONFIG_SIZE:
        r = text_parse_size(value, &number);
        break;
    default:
        r = text_parse_number(value, INT64_MAX, &number);
    }
    if (r == 0 && number > INT64_MAX)
        r = -EINVAL;
    if (r == 0)
        *ret_value = (int64_t)number;
    return r;
}

static const char *expectation(enum config_type type) {
    switch (type) {
    case CONFIG_BOOL:
        return "yes or no";
    case CONFIG_MODE:
        return "permissions in octal, such as 0660";
    case CONFIG_DURATION:
        return "a time such as 30s, 5m, 12h or 7d";
    case CONFIG_SIZE:
        return "a size such as 65536, 64K, 16M or 1G";
    case CONFIG_LEVEL:
        return "error, warning, info or debug";
    default:
        return "a number";
    }
}

static void format_number(const struct config_key *key, int64_t number,
                          char ret_text[CONFIG_VALUE_MAX]);

static int set_number(struct config *config, const struct config_key *key, const char *value,
                      char error[FAILURE_MAX]) {
    int64_t number;
    if (parse_number(key, value, &number) < 0 && key->type == CONFIG_CHOICE)
        return failure(error, -EINVAL, "'%s' is not one of %s", value, choices_of(key));
    if (parse_number(key, value, &number) < 0)
        return failure(error, -EINVAL, "'%s' is not %s", value, expectation(key->type));
    if (number < key->min || number > key->max) {
        char min[CONFIG_VALUE_MAX], max[CONFIG_VALUE_MAX];
        format_number(key, key->min, min);
        format_number(key, key->max, max);
        return failure(error, -EINVAL, "%s is out of range: %s to %s", value, min, max);
    }
    memcpy(field(config, key), &number, sizeof number);
    return 0;
}

/* Two sockets of one port: the second would find it taken. */
static bool do_clash(const struct address *a, const struct address *b) {
    if (a->port != b->port || address_is_ipv4(a) != address_is_ipv4(b))
        return false;
    return address_is_same_ip(a, b) || address_is_unspecified(a) || address_is_unspecified(b);
}

/* NULL: it may be listened on, or published. */
static const char *problem_of(const struct config_key *key, const struct address *address) {
    bool to_listen = key->offset == offsetof(struct config, listen);
    return to_listen && address_is_unspecified(address) ? NULL : address_problem(address);
}

static int add_address(struct config *config, const struct config_key *key, const char *value,
                       char error[FAILURE_MAX]) {
    struct config_addresses *list = field(config, key);
    struct address address;
    if (address_parse(value, &address) < 0) {
        const char *why = address_explain(value);
        return failure(error, -EINVAL, "'%s' is no address%s%s", value, why ? ": " : "",
                       why ? why : ": IP, IP:PORT or [IPv6]:PORT");
    }
    if (list->n == (size_t)key->max)
        return failure(error, -EINVAL, "given more than %" PRId64 " times", key->max);
    const char *problem = problem_of(key, &address);
    if (problem)
        return failure(error, -EINVAL, "'%s' is %s", value, problem);
    if (address.port == 0)
        address.port = ADDRESS_PORT_DEFAULT;
    for (size_t i = 0; key->offset == offsetof(struct config, listen) && i < list->n; i++)
        if (do_clash(&list->v[i], &address))
            return failure(error, -EINVAL, "'%s' is listened on already", value);
    list->v[list->n++] = address;
    return 0;
}

/* Would the system's resolver take it for an IPv4 address of a form of its own (10.1, 0x7f.1,
 * 127)? */
static bool ends_in_number(const char *name, size_t length) {
    size_t last = length;
    while (last > 0 && name[last - 1] != '.')
        last--;
    size_t label = length - last, digits = strspn(name + last, "0123456789");
    if (label == 0 || digits >= label)
        return true;
    return name[last] == '0' && (name[last + 1] == 'x' || name[last + 1] == 'X') &&
           2 + strspn(name + last + 2, "0123456789abcdefABCDEF") >= label;
}

/* What a host name may look like; whether there is one shows when it is looked up. */
static bool is_host(const char *value) {
    const char *name = strncmp(value, "udp://", 6) == 0 ? value + 6 : value;
    size_t length = strcspn(name, ":");
    uint64_t port;
    if (strlen(value) >= CONFIG_HOST_MAX || length == 0 || length > 253)
        return false;
    if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != length)
        return false;
    size_t unrooted = name[length - 1] == '.' ? length - 1 : length;
    if (name[0] == '-' || unrooted == 0 || ends_in_number(name, unrooted))
        return false; /* a mistyped IP address must not become a question to the DNS */
    return name[length] == '\0' ||
           (text_parse_number(name + length + 1, UINT16_MAX, &port) == 0 && port > 0);
}

static int add_host(struct config *config, const struct config_key *key, const char *value,
                    char error[FAILURE_MAX]) {
    struct config_hosts *list = field(config, key);
    struct address address;
    bool is_address = address_parse(value, &address) == 0;
    const char *why = is_address ? NULL : address_explain(value);
    if (is_address && address_problem(&address))
        return failure(error, -EINVAL, "'%s' is no peer: %s", value, address_problem(&address));
    if (!is_address && !is_host(value))
        return failure(error, -EINVAL, "'%s' is no peer: %s", value,
                       why ? why : "IP, IP:PORT, [IPv6]:PORT, HOST or HOST:PORT");
    if (list->n == (size_t)key->max)
        return failure(error, -EINVAL, "given more than %" PRId64 " times", key->max);
    memcpy(list->v[list->n++], value, strlen(value) + 1);
    return 0;
}

static int set_value(struct config *config, const struct config_key *key, const char *value,
                     char error[FAILURE_MAX]) {
    switch (key->type) {
    case CONFIG_NAME:
    case CONFIG_TEXT:
    case CONFIG_PATH:
        return set_text(config, key, value, error);
    case CONFIG_ADDRESSES:
        return add_address(config, key, value, error);
    case CONFIG_HOSTS:
        return add_host(config, key, value, error);
    default:
        return set_number(config, key, value, error);
    }
}

/* An option's value is read as the file's is: without what is blank around it, such as the CR that
 * a script took over from a list. */
int config_set(struct config *config, const struct config_key *key, const char *value,
               char error[FAILURE_MAX]) {
    static const char blank[] = " \t\r\n";
    char why[FAILURE_MAX] = "";
    const char *begin = value + strspn(value, blank);
    size_t length = strlen(begin);
    while (length > 0 && strchr(blank, begin[length - 1]))
        length--;
    char *text = strndup(begin, length);
    if (!text)
        return failure(error, -ENOMEM, "out of memory");
    int r = set_value(config, key, text, why);
    free(text);
    return r < 0 ? failure(error, r, "%s.%s: %.*s", key->section, key->name, FAILURE_MAX - 64, why)
                 : 0;
}

void config_init(struct config *config) {
    char ignored[FAILURE_MAX];
    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < config_n_keys; i++)
        if (config_keys[i].initial)
            config_set(config, &config_keys[i], config_keys[i].initial, ignored);
}

/* ---- To text ---- */

struct unit {
    int64_t value;
    const char *suffix;
};

/* With the largest unit that leaves no remainder. */
static void format_units(int64_t number, const struct unit *units,
                         char ret_text[CONFIG_VALUE_MAX]) {
    while (number == 0 ? units->value != 1 : number % units->value != 0)
        units++;
    snprintf(ret_text, CONFIG_VALUE_MAX, "%" PRId64 "%s", number / units->value, units->suffix);
}

static void format_duration(int64_t us, char ret_text[CONFIG_VALUE_MAX]) {
    static const struct unit units[] = {
        {86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    format_units(us / US_PER_MS, units, ret_text);
}

static void format_size(int64_t bytes, char ret_text[CONFIG_VALUE_MAX]) {
    static const struct unit units[] = {{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}, {1, ""}};
    format_units(bytes, units, ret_text);
}

static void format_choice(const struct config_key *key, int64_t number,
                          char ret_text[CONFIG_VALUE_MAX]) {
    size_t length;
    const char *word = choice_word(key, number, &length);
    snprintf(ret_text, CONFIG_VALUE_MAX, "%.*s", (int)length, word);
}

static void format_number(const struct config_key *key, int64_t number,
                          char ret_text[CONFIG_VALUE_MAX]) {
    const enum config_type type = key->type;
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    if (type == CONFIG_BOOL)
        snprintf(ret_text, CONFIG_VALUE_MAX, "%s", number ? "yes" : "no");
    else if (type == CONFIG_MODE)
        snprintf(ret_text, CONFIG_VALUE_MAX, "%04o", (unsigned)number);
    else if (type == CONFIG_LEVEL)
        snprintf(ret_text, CONFIG_VALUE_MAX, "%s", levels[number]);
    else if (type == CONFIG_CHOICE)
        format_choice(key, number, ret_text);
    else if (type == CONFIG_DURATION)
        format_duration(number, ret_text);
    else if (type == CONFIG_SIZE)
        format_size(number, ret_text);
    else
        snprintf(ret_text, CONFIG_VALUE_MAX, "%" PRId64, number);
}

size_t config_value_count(const struct config *config, const struct config_key *key) {
    const void *value = field_of(config, key);
    if (key->type == CONFIG_ADDRESSES)
        return ((const struct config_addresses *)value)->n;
    if (key->type == CONFIG_HOSTS)
        return ((const struct config_hosts *)value)->n;
    if (key->type == CONFIG_NAME || key->type == CONFIG_TEXT || key->type == CONFIG_PATH)
        return *(const char *)value ? 1 : 0;
    return 1;
}

void config_value_format(const struct config *config, const struct config_key *key, size_t i,
                         char ret_text[CONFIG_VALUE_MAX]) {
    const void *value = field_of(config, key);
    char text[ADDRESS_TEXT_MAX];
    switch (key->type) {
    case CONFIG_ADDRESSES:
        address_format(&((const struct config_addresses *)value)->v[i], true, text);
        snprintf(ret_text, CONFIG_VALUE_MAX, "%s", text);
        break;
    case CONFIG_HOSTS:
        snprintf(ret_text, CONFIG_VALUE_MAX, "%s", ((const struct config_hosts *)value)->v[i]);
        break;
    case CONFIG_NAME:
    case CONFIG_TEXT:
    case CONFIG_PATH:
        snprintf(ret_text, CONFIG_VALUE_MAX, "%s", (const char *)value);
        break;
    default: {
        int64_t number;
        memcpy(&number, value, sizeof number);
        format_number(key, number, ret_text);
    }
    }
}
