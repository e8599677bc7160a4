/* p2pd.conf(5): one table of keys, from which come the parser, the options of the command line,
 * the dump and the manual's check. A configuration is a plain value: it is read and checked
 * whole, and only then takes another's place.
 *
 * Threat: none from outside; a mistyped line that is silently ignored, which in a closed network
 * means an open node. So whatever is not understood to the last byte is an error that names file
 * and line. */
#ifndef P2PD_CONFIG_H
#define P2PD_CONFIG_H

#include "daemon/core/base/base.h"
#include "shared/failure.h"

#define CONFIG_PATH_MAX 256
#define CONFIG_HOST_MAX 264 /* a DNS name, its port, brackets */
#define CONFIG_HOSTS_MAX 64
#define CONFIG_ADDRESSES_MAX 16
#define CONFIG_NETWORK_NAME_MAX 64
#define CONFIG_GROUP_MAX 32
#define CONFIG_KEYS_MAX 64

struct config_addresses {
    struct address v[CONFIG_ADDRESSES_MAX];
    size_t n;
};
struct config_hosts {
    char v[CONFIG_HOSTS_MAX][CONFIG_HOST_MAX];
    size_t n;
};
/* The keys whose defaults depend on the network: were they set? */
struct config_asked {
    bool files_accept, relay_rate, disk_free, inbox_max, files_max;
};
/* Numbers are int64_t whatever they count, durations microseconds; "" and 0 stand for none. */
struct config {
    char name[NODE_NAME_MAX + 1], state[CONFIG_PATH_MAX];
    int64_t relay;
    char network_name[CONFIG_NETWORK_NAME_MAX + 1], network_secret_file[CONFIG_PATH_MAX];
    struct config_addresses listen, advertise;
    /* Nobody asked for these addresses: one of a family that is missing is skipped. */
    bool listen_by_default;
    struct config_hosts peers;
    int64_t pool_min, pool_max, pool_spare;
    int64_t link_heartbeat_us, link_timeout_us;
    int64_t route_relays, route_strict, route_guards, route_reuse;
    int64_t relay_rate, relay_month, relay_paths;
    int64_t directory_max, memory_max, disk_free;
    /* What of disk_free holds for each: a maximum that was given takes its place. */
    int64_t inbox_free, files_free;
    struct config_asked asked;
    bool network_is_open;   /* there is no secret */
    bool network_is_public; /* nor a name of its own: who has no configuration is in it */
    int64_t delivery_expire_us, message_max;
    int64_t droplist_entries, retention_us, threads;
    int64_t inbox_accept,
        files_accept; /* enum inbox_accept, files_accept (daemon/core/node/node.h) */
    int64_t inbox_quota, inbox_max, files_quota, files_max;
    char files_directory[CONFIG_PATH_MAX];
    int64_t mailbox_size, mailbox_use;
    char control_socket[CONFIG_PATH_MAX];
    int64_t control_mode;
    char control_group[CONFIG_GROUP_MAX + 1];
    int64_t log_level; /* enum trace_level */
    /* Where each key was set last: the line of the file; 0: it is a default, or an option's. */
    int lines[CONFIG_KEYS_MAX];
};

enum config_type {
    CONFIG_NAME, /* a node's name */
    CONFIG_TEXT, /* min..max printable bytes */
    CONFIG_PATH,
    CONFIG_BOOL,
    CONFIG_COUNT, /* decimal */
    CONFIG_SIZE,  /* bytes, K/M/G */
    CONFIG_DURATION,
    CONFIG_MODE, /* octal */
    CONFIG_LEVEL,
    CONFIG_CHOICE,    /* one of the words behind the ": " of its doc, numbered from min */
    CONFIG_ADDRESSES, /* the repeatable ones append */
    CONFIG_HOSTS,
};
struct config_key {
    const char *section, *name;
    enum config_type type;
    int64_t min, max;
    const char *initial; /* as it would be written; NULL: none, or found out (see config_init) */
    size_t offset, size; /* of the field in struct config */
    bool reloadable;
    const char *option; /* its own long option, or NULL */
    const char *doc;    /* one line */
};
extern const struct config_key config_keys[];
extern const size_t config_n_keys;

/* The key called section.name, or NULL. */
const struct config_key *config_find(const char *section, const char *name);
/* Defaults. What is found out (state, socket, listen, files.directory) stays empty until
 * config_load. */
void config_init(struct config *config);
/* Set one key from text; repeatable ones append. 0, or -EINVAL and what is wrong with the value. */
int config_set(struct config *config, const struct config_key *key, const char *value,
               char error[FAILURE_MAX]);
void config_clear(struct config *config, const struct config_key *key);
/* What is wrong, a line each: as many as a person mends at a time. */
#define CONFIG_MISTAKES_MAX 20
struct config_mistakes {
    char v[CONFIG_MISTAKES_MAX][FAILURE_MAX];
    size_t n;
};
/* Read a file's bytes. lines[] (config_n_keys, may be NULL) gets the line where each key was
 * set. 0, or -EINVAL and "file:line: message" for every mistake, added to those that are there;
 * reading ends when they are full. */
int config_parse(struct config *config, const char *file, const char *bytes, size_t length,
                 int *lines, struct config_mistakes *mistakes);

/* Everything a configuration comes from. It outlives the start: a reload reads it all again. */
#define CONFIG_OVERRIDES_MAX 128
struct config_override {
    const struct config_key *key;
    const char *value;
};
struct config_source {
    char file[CONFIG_PATH_MAX];   /* "": none */
    bool file_may_be_missing;     /* it is the default place */
    char folder[CONFIG_PATH_MAX]; /* what relative paths are relative to */
    struct config_override overrides[CONFIG_OVERRIDES_MAX];
    size_t n_overrides;
    const char *const *peers; /* operands, added to network.peer */
    size_t n_peers;
};
/* Defaults, file, overrides, operands, then (if all that is right) the relations between keys. 0,
 * or negative errno and in ret_mistakes one line for people at least; *ret_config is written on
 * success only. */
int config_load(const struct config_source *source, struct config *ret_config,
                struct config_mistakes *ret_mistakes);

/* Always -EINVAL: one more mistake, "FILE:LINE: section.name: why" where the file set that key,
 * else without file and line. */
int config_blame(const struct config_source *source, const struct config *config,
                 const char *section, const char *name, const char *why,
                 struct config_mistakes *mistakes);

/* Names what a reload cannot change and what differs: takes it over from `running` into `fresh`
 * and calls `tell` for each. */
void config_keep_fixed(struct config *fresh, const struct config *running,
                       void (*tell)(void *context, const struct config_key *key), void *context);

/* Put `folder` before a relative path: a daemon in the background stands in "/", and a reload
 * must read the same paths as the start did. 0, or -EINVAL (too long). */
int config_make_absolute(const char *folder, char path[CONFIG_PATH_MAX], char error[FAILURE_MAX]);

/* Write every key with its effective value in ini form, so that it can be read back. 0 or
 * -errno. */
int config_dump(const struct config *config, FILE *out);

#endif
