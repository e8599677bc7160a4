/* p2pctl peers, nodes. A list may come in several answers: it is printed as it comes in JSON,
 * and once all is there as a table, whose columns need every row. */
#include "client/common/output.h"
#include "client/ctl/session.h"

#include <inttypes.h>
#include <stdio.h>

struct list {
    const struct context *context;
    struct table *table; /* NULL for JSON */
    size_t n;
};

static void cells(struct table *table, const char *const *texts, size_t n) {
    for (size_t i = 0; i < n; i++)
        table_cell(table, texts[i]);
}

static void peer_json(const P2pd__Control__Peer *peer) {
    printf("{\"address\":");
    json_address(&peer->address, true);
    printf(",\"name\":");
    json_string(peer->name);
    printf(",\"id\":");
    json_hex(&peer->id);
    printf(",\"rtt_ms\":");
    json_ms(peer->rtt_us);
    printf(",\"since\":");
    json_time(peer->since_us);
    printf(",\"state\":");
    json_string(peer->state);
    printf(",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"dialled\":", peer->bytes_in,
           peer->bytes_out);
    json_bool(peer->dialled);
    printf("}");
}

static void peer_cells(struct table *table, const P2pd__Control__Peer *peer) {
    char address[TEXT_CELL_MAX], name[TEXT_CELL_MAX], id[TEXT_CELL_MAX], rtt[TEXT_CELL_MAX];
    char since[TEXT_CELL_MAX], state[TEXT_CELL_MAX], in[TEXT_CELL_MAX], out[TEXT_CELL_MAX];
    cell_address(&peer->address, true, address);
    cell_name(peer->name, name);
    cell_id(&peer->id, id);
    cell_ms(peer->rtt_us, rtt);
    cell_time(peer->since_us, since);
    cell_name(peer->state, state);
    cell_size(peer->bytes_in, in);
    cell_size(peer->bytes_out, out);
    cells(table, (const char *[]){address, name, id, rtt, since, state, in, out}, 8);
}

static void node_json(const P2pd__Control__Node *node) {
    printf("{\"address\":");
    json_address(&node->address, true);
    printf(",\"name\":");
    json_string(node->name);
    printf(",\"id\":");
    json_hex(&node->id);
    printf(",\"relay\":");
    json_bool(node->relay);
    printf(",\"last_seen\":");
    json_time(node->last_seen_us);
    printf(",\"pinned\":");
    json_bool(node->pinned);
    printf(",\"neighbour\":");
    json_bool(node->neighbour);
    printf(",\"self\":");
    json_bool(node->self);
    printf(",\"live\":");
    json_bool(node->live);
    printf("}");
}

static void node_cells(struct table *table, const P2pd__Control__Node *node) {
    char address[TEXT_CELL_MAX], name[TEXT_CELL_MAX], id[TEXT_CELL_MAX], seen[TEXT_CELL_MAX];
    char notes[64];
    cell_address(&node->address, true, address);
    cell_name(node->name, name);
    cell_id(&node->id, id);
    cell_time(node->last_seen_us, seen);
    snprintf(notes, sizeof notes, "%s%s%s%s", node->self ? "self " : "",
             node->neighbour ? "neighbour " : "", node->pinned ? "pinned " : "",
             node->live ? "" : "gone");
    cells(table, (const char *[]){address, name, id, node->relay ? "yes" : "no", seen, notes}, 6);
}

static void print_peers(void *state, const P2pd__Control__Answer *answer) {
    struct list *list = state;
    for (size_t i = 0; i < answer->n_peers; i++, list->n++) {
        if (list->table) {
            peer_cells(list->table, answer->peers[i]);
            continue;
        }
        printf("%s", list->n ? "," : "[");
        peer_json(answer->peers[i]);
    }
}

static void print_nodes(void *state, const P2pd__Control__Answer *answer) {
    struct list *list = state;
    for (size_t i = 0; i < answer->n_nodes; i++, list->n++) {
        if (list->table) {
            node_cells(list->table, answer->nodes[i]);
            continue;
        }
        printf("%s", list->n ? "," : "[");
        node_json(answer->nodes[i]);
    }
}

static enum exit_code run_list(const struct context *context, P2pd__Control__Request *request,
                               void (*print)(void *, const P2pd__Control__Answer *),
                               const char *const *headings, size_t columns) {
    struct list list = {.context = context};
    bool json = context->options.json;
    if (!json) {
        list.table = table_new(columns);
        if (!list.table)
            return complain(context, CODE_FAILED, "no memory");
        if (!context->options.quiet)
            cells(list.table, headings, columns);
    }
    enum exit_code code = session_run(context, request, print, &list);
    if (code == CODE_DONE && json)
        printf("%s]\n", list.n ? "" : "[");
    else if (code == CODE_DONE && table_print(list.table, stdout) < 0)
        code = complain(context, CODE_FAILED, "no memory");
    table_free(list.table);
    return code;
}

enum exit_code peers_run(struct context *context) {
    static const char *const headings[] = {"ADDRESS", "NAME",  "ID", "RTT",
                                           "SINCE",   "STATE", "IN", "OUT"};
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Peers peers = P2PD__CONTROL__PEERS__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PEERS;
    request.peers = &peers;
    return run_list(context, &request, print_peers, headings, 8);
}

enum exit_code nodes_run(struct context *context) {
    static const char *const headings[] = {"ADDRESS", "NAME", "ID", "RELAY", "LAST SEEN", "NOTES"};
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Nodes nodes = P2PD__CONTROL__NODES__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_NODES;
    request.nodes = &nodes;
    return run_list(context, &request, print_nodes, headings, 6);
}
