/* p2pctl peers, nodes. */
#include "client/ctl/ask.h"
#include "client/ctl/command.h"
#include "client/ctl/listing.h"

#include <stdio.h>

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
    table_cells(table, (const char *[]){address, name, id, rtt, since, state, in, out}, 8);
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
    table_cells(table, (const char *[]){address, name, id, node->relay ? "yes" : "no", seen, notes},
                6);
}

static void print_peers(void *state, const P2pd__Control__Answer *answer) {
    struct listing *listing = state;
    for (size_t i = 0; i < answer->n_peers; i++)
        if (listing->table)
            peer_cells(listing->table, answer->peers[i]);
        else
            listing_record(listing, &answer->peers[i]->base);
}

static void print_nodes(void *state, const P2pd__Control__Answer *answer) {
    struct listing *listing = state;
    for (size_t i = 0; i < answer->n_nodes; i++)
        if (listing->table)
            node_cells(listing->table, answer->nodes[i]);
        else
            listing_record(listing, &answer->nodes[i]->base);
}

static enum exit_code run_list(const struct context *context, P2pd__Control__Request *request,
                               void (*print)(void *, const P2pd__Control__Answer *),
                               const char *const *headings, size_t columns) {
    struct listing listing;
    enum exit_code code = listing_begin(&listing, context, headings, columns);
    if (code == CODE_DONE)
        code = ask_run(context, request, print, &listing);
    return listing_end(&listing, code);
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
