/* The table behind p2pd.conf(5). A key added here has its parser, option, dump and bounds. */
#include "daemon/config/config.h"

#include "daemon/core/base/limits.h"
#include "shared/frame.h"

#define FIELD(f) offsetof(struct config, f), sizeof(((struct config *)NULL)->f)
#define SECOND US_PER_S
#define DAY (24 * US_PER_HOUR)
#define K INT64_C(1024)
#define M (1024 * K)
#define G (1024 * M)
#define RELOAD true
#define FIXED false

/* clang-format off */
const struct config_key config_keys[] = {
    {"node", "name", CONFIG_NAME, 1, NODE_NAME_MAX, NULL, FIELD(name), FIXED, "name",
     "human name of this node"},
    {"node", "state", CONFIG_PATH, 1, CONFIG_PATH_MAX - 1, NULL, FIELD(state), FIXED, "state",
     "folder of identity.key and messages.db"},
    {"node", "relay", CONFIG_BOOL, 0, 1, "yes", FIELD(relay), RELOAD, NULL,
     "volunteer as an intermediary"},
    {"network", "name", CONFIG_TEXT, 1, CONFIG_NETWORK_NAME_MAX, "p2pd",
     FIELD(network_name), FIXED, NULL,
     "which network this is"},
    {"network", "secret_file", CONFIG_PATH, 1, CONFIG_PATH_MAX - 1, NULL,
     FIELD(network_secret_file), FIXED, NULL,
     "file with the secret that its members share"},
    {"network", "listen", CONFIG_ADDRESSES, 0, CONFIG_ADDRESSES_MAX, NULL,
     FIELD(listen), FIXED, "listen",
     "UDP address to listen on (repeatable)"},
    {"network", "peer", CONFIG_HOSTS, 0, CONFIG_HOSTS_MAX, NULL, FIELD(peers), RELOAD, "peer",
     "node already in the network (repeatable)"},
    {"network", "advertise", CONFIG_ADDRESSES, 0, 4, NULL, FIELD(advertise), FIXED, NULL,
     "address to publish instead of the observed ones (repeatable)"},
    {"pool", "min", CONFIG_COUNT, 1, TOPOLOGY_DEGREE_MAX, "4", FIELD(pool_min), FIXED, NULL,
     "neighbour links to fill up to at least"},
    {"pool", "max", CONFIG_COUNT, 1, TOPOLOGY_DEGREE_MAX, "16", FIELD(pool_max), FIXED, NULL,
     "neighbour links at most"},
    {"pool", "spare", CONFIG_COUNT, 0, 240, "64", FIELD(pool_spare), FIXED, NULL,
     "addresses kept in reserve"},
    {"link", "heartbeat", CONFIG_DURATION, 100 * US_PER_MS, US_PER_HOUR, "10s",
     FIELD(link_heartbeat_us), RELOAD, NULL,
     "silence after which a neighbour is asked for a sign of life"},
    {"link", "timeout", CONFIG_DURATION, 500 * US_PER_MS, 3 * US_PER_HOUR, "30s",
     FIELD(link_timeout_us), RELOAD, NULL,
     "silence after which a link is dead"},
    {"route", "relays", CONFIG_COUNT, 0, TOPOLOGY_RELAYS_MAX, "3",
     FIELD(route_relays), RELOAD, NULL,
     "relays between source and destination, at least"},
    {"route", "strict", CONFIG_BOOL, 0, 1, "no", FIELD(route_strict), RELOAD, NULL,
     "fail rather than use fewer relays"},
    {"route", "guards", CONFIG_COUNT, 1, TOPOLOGY_DEGREE_MAX, "3",
     FIELD(route_guards), RELOAD, NULL,
     "neighbours that serve as first relay"},
    {"route", "reuse", CONFIG_BOOL, 0, 1, "yes", FIELD(route_reuse), RELOAD, NULL,
     "packets of one path for 2 s; no: every packet takes a fresh path"},
    {"relay", "rate", CONFIG_SIZE, 0, 1024 * G, "0", FIELD(relay_rate), RELOAD, NULL,
     "relayed bytes a second at most; 0 = no bound"},
    {"relay", "month", CONFIG_SIZE, 0, 1024 * 1024 * G, "0", FIELD(relay_month), RELOAD, NULL,
     "relayed bytes a month at most; 0 = no bound"},
    {"relay", "paths", CONFIG_COUNT, 0, 10000000, "16000", FIELD(relay_paths), RELOAD, NULL,
     "new paths a second through this node, neighbours sharing fairly; 0 = no bound"},
    {"directory", "max", CONFIG_COUNT, 2, 1000000, "20000", FIELD(directory_max), FIXED, NULL,
     "known nodes at most"},
    {"limits", "memory", CONFIG_SIZE, 4 * M, 64 * G, "64M", FIELD(memory_max), RELOAD, NULL,
     "one budget over all queues and tables"},
    {"limits", "disk_free", CONFIG_COUNT, 0, 95, "0", FIELD(disk_free), RELOAD, NULL,
     "percent of the disk that others' messages and files leave free"},
    {"daemon", "threads", CONFIG_COUNT, 0, COMPUTE_THREADS_MAX, "0", FIELD(threads), FIXED, NULL,
     "threads that peel and encrypt; 0 = as many as processors, at most 8"},
    {"delivery", "expire", CONFIG_DURATION, SECOND, 365 * DAY, "7d",
     FIELD(delivery_expire_us), RELOAD, NULL,
     "when an undelivered message is given up"},
    {"delivery", "max_message", CONFIG_SIZE, 1, FRAME_MESSAGE_MAX, "16M",
     FIELD(message_max), RELOAD, NULL,
     "largest message"},
    {"droplist", "entries", CONFIG_COUNT, 1024, 1 << 28, "1048576",
     FIELD(droplist_entries), FIXED, NULL,
     "bound on remembered paths"},
    {"store", "retention", CONFIG_DURATION, 0, 3650 * DAY, "7d", FIELD(retention_us), RELOAD, NULL,
     "how long finished messages stay readable; 0 = not at all"},
    {"inbox", "accept", CONFIG_CHOICE, 1, 3, "all", FIELD(inbox_accept), RELOAD, NULL,
     "whose messages are taken: all, known, allowed"},
    {"inbox", "quota", CONFIG_SIZE, 0, 1024 * G, "1G", FIELD(inbox_quota), RELOAD, NULL,
     "waiting messages of one sender, in bytes; 0 = no bound"},
    {"inbox", "max", CONFIG_SIZE, 0, 1024 * 1024 * G, "8G", FIELD(inbox_max), RELOAD, NULL,
     "waiting messages of all senders, in bytes; 0 = no bound"},
    {"files", "accept", CONFIG_CHOICE, 1, 3, "all", FIELD(files_accept), RELOAD, NULL,
     "whose files are taken: none, known, all"},
    {"files", "directory", CONFIG_PATH, 1, CONFIG_PATH_MAX - 1, NULL,
     FIELD(files_directory), FIXED, NULL,
     "where received files are put"},
    {"files", "quota", CONFIG_SIZE, 0, 1024 * 1024 * G, "16G", FIELD(files_quota), RELOAD, NULL,
     "files of one sender that are not taken yet, in bytes; 0 = no bound"},
    {"files", "max", CONFIG_SIZE, 0, 1024 * 1024 * G, "64G", FIELD(files_max), RELOAD, NULL,
     "files of all senders that are not taken yet, in bytes; 0 = no bound"},
    {"mailbox", "size", CONFIG_SIZE, 0, 1024 * G, "0", FIELD(mailbox_size), RELOAD, NULL,
     "bytes kept for others who are away; 0 = no mailbox"},
    {"mailbox", "use", CONFIG_COUNT, 0, 4, "2", FIELD(mailbox_use), RELOAD, NULL,
     "mailboxes that are to keep what comes while we are away"},
    {"control", "socket", CONFIG_PATH, 1, CONFIG_PATH_MAX - 1, NULL,
     FIELD(control_socket), FIXED, "socket",
     "Unix socket for p2pctl"},
    {"control", "mode", CONFIG_MODE, 0, 0777, "0600", FIELD(control_mode), RELOAD, NULL,
     "its permissions"},
    {"control", "group", CONFIG_TEXT, 1, CONFIG_GROUP_MAX, NULL, FIELD(control_group), RELOAD, NULL,
     "its group"},
    {"log", "level", CONFIG_LEVEL, TRACE_ERROR, TRACE_DEBUG, "info", FIELD(log_level), RELOAD, NULL,
     "error, warning, info or debug"},
};
/* clang-format on */
const size_t config_n_keys = sizeof config_keys / sizeof config_keys[0];

const struct config_key *config_find(const char *section, const char *name) {
    for (size_t i = 0; i < config_n_keys; i++)
        if (strcmp(config_keys[i].section, section) == 0 && strcmp(config_keys[i].name, name) == 0)
            return &config_keys[i];
    return NULL;
}
