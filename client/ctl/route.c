/* p2pctl route, ping. */
#include "client/ctl/route.h"

#include "client/common/bits.h"
#include "client/common/table.h"
#include "client/ctl/ask.h"
#include "client/ctl/command.h"

#include <stdio.h>

#define SAMPLES 5

const struct option route_options[] = {
    {"number", 'n', OPTION_NUMBER, offsetof(struct options, count), "N", "how many samples (5)"},
    {"relays", 0, OPTION_NUMBER, offsetof(struct options, relays), "N", "with exactly N relays"},
    {"strict", 0, OPTION_FLAG, offsetof(struct options, strict), NULL,
     "fail rather than use fewer relays than configured"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL}};

void routes_print(const P2pd__Control__Routes *routes) {
    char address[TEXT_CELL_MAX], name[TEXT_CELL_MAX];
    for (size_t i = 0; i < routes->n_paths; i++) {
        for (size_t j = 0; j < routes->paths[i]->n_hops; j++) {
            const P2pd__Control__Hop *hop = routes->paths[i]->hops[j];
            cell_address(&hop->address, true, address);
            cell_name(hop->name, name);
            printf("%s%s", j ? " -> " : "", address);
            if (hop->name[0])
                printf(" (%s)", name);
        }
        printf("\n");
    }
}

static void print_route(void *state, const P2pd__Control__Answer *answer) {
    const struct context *context = state;
    const P2pd__Control__Routes *routes = answer->routes;
    if (!routes)
        return;
    if (context->options.json) {
        struct json json = json_to_stdout();
        json_open(&json, '{');
        json_fields(&json, &routes->base);
        ask_notice_json(&json, answer);
        json_close(&json, '}');
        printf("\n");
        return;
    }
    routes_print(routes);
    ask_notice(context, answer);
    /* What this number means, and what it does not: p2pd-protocol(7) ROUTES. */
    if (!context->options.quiet)
        printf("%.0f paths of %u relays to choose from (2^%.1f): path choice, not anonymity\n",
               routes->count, routes->relays, bits_of(routes->count));
}

enum exit_code route_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Route route = P2PD__CONTROL__ROUTE__INIT;
    route.to = (char *)context->arguments[0];
    route.count = context->options.count >= 0 ? (uint32_t)context->options.count : SAMPLES;
    route.relays_exact = context->options.relays >= 0;
    route.relays = route.relays_exact ? (uint32_t)context->options.relays : 0;
    route.strict = context->options.strict;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_ROUTE;
    request.route = &route;
    return ask_run(context, &request, print_route, context);
}

static void print_ping(void *state, const P2pd__Control__Answer *answer) {
    const struct context *context = state;
    char onion[TEXT_CELL_MAX], direct[TEXT_CELL_MAX];
    if (!answer->ping)
        return;
    if (context->options.json) {
        struct json json = json_to_stdout();
        json_message(&json, &answer->ping->base);
        printf("\n");
        return;
    }
    cell_ms(answer->ping->onion_us, onion);
    cell_ms(answer->ping->direct_us, direct);
    printf("onion %s", onion);
    if (answer->ping->direct_us >= 0)
        printf(", direct %s", direct);
    printf("\n");
}

enum exit_code ping_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Ping ping = P2PD__CONTROL__PING__INIT;
    ping.to = (char *)context->arguments[0];
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PING;
    request.ping = &ping;
    return ask_run(context, &request, print_ping, context);
}
