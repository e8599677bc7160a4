/* The table of commands: main() looks them up in it, help prints it. */
#include "client/ctl/command.h"

#include <stdio.h>
#include <string.h>

static const struct option no_options[] = {{NULL, 0, OPTION_FLAG, 0, NULL, NULL}};

const struct command command_table[] = {
    {"push", "DEST [MESSAGE...]", "queue a message for DEST, print its id; - or none: read stdin",
     1, -1, push_options, push_run},
    {"pull", "", "print and take the waiting messages", 0, 0, pull_options, pull_run},
    {"send", "DEST FILE...", "send files to DEST, print their ids; - with --name: standard input",
     2, -1, send_options, send_run},
    {"files", "", "files on their way, here and there", 0, 0, no_options, files_run},
    {"receive", "[DIR]", "take the files that have arrived, into DIR", 0, 1, no_options,
     receive_run},
    {"conversations", "", "those we have written to or heard from", 0, 0, no_options,
     conversations_run},
    {"history", "DEST", "what was written and heard, with states", 1, 1, history_options,
     history_run},
    {"forget", "DEST", "delete the history with DEST", 1, 1, no_options, forget_run},
    {"status", "[ID]", "the daemon at a glance; with an id, where that message is", 0, 1,
     status_options, status_run},
    {"peers", "", "the neighbours", 0, 0, no_options, peers_run},
    {"nodes", "", "every node known", 0, 0, no_options, nodes_run},
    {"route", "DEST", "sample routes, and how many there are", 1, 1, route_options, route_run},
    {"cancel", "ID", "take back a message that is not delivered yet", 1, 1, no_options, cancel_run},
    {"ping", "DEST", "the round trip to a node over an onion path", 1, 1, no_options, ping_run},
    {"connect", "ADDRESS", "add a neighbour by hand", 1, 1, no_options, connect_run},
    {"disconnect", "DEST", "drop a neighbour", 1, 1, no_options, disconnect_run},
    {"trust", "ADDRESS", "accept the key that is at ADDRESS now", 1, 1, trust_options, trust_run},
    {"block", "DEST", "refuse what DEST sends", 1, 1, no_options, block_run},
    {"allow", "DEST", "take what DEST sends, whatever inbox.accept says", 1, 1, no_options,
     allow_run},
    {"unblock", "DEST", "neither block nor allow any more", 1, 1, no_options, unblock_run},
    {"rules", "", "who is blocked and allowed", 0, 0, no_options, rules_run},
    {"doctor", "", "what is wrong when nothing arrives", 0, 0, no_options, doctor_run},
    {"backup", "FILE", "identity, pins and messages, under a passphrase", 1, 1, backup_options,
     backup_run},
    {"stop", "", "stop the daemon", 0, 0, no_options, stop_run},
    {"reload", "", "have the daemon read its configuration again", 0, 0, no_options, reload_run},
    {"help", "[COMMAND]", "print usage", 0, 1, no_options, help_run},
    {NULL, NULL, NULL, 0, 0, NULL, NULL}};

const struct command *command_find(const char *name) {
    for (const struct command *command = command_table; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

void command_print_all(void) {
    printf("usage: p2pctl [-s SOCKET] [--json] [-q] COMMAND ...\n\n");
    for (const struct command *command = command_table; command->name; command++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", command->name, command->arguments);
        printf("  %-24s %s\n", left, command->summary);
    }
    printf("\noptions of every command:\n");
    options_print(options_common);
    printf("\nDEST is an IP, IP:PORT, [IPv6]:PORT, a node id, 8 or more digits of one, or a node "
           "name.\nTIME is a number and ms, s, m, h or d.\n");
}

void command_print_usage(const struct command *command) {
    printf("usage: p2pctl %s%s%s%s\n%s\n", command->name, command->arguments[0] ? " " : "",
           command->arguments, command->options->name ? " [options]" : "", command->summary);
    if (command->options->name)
        printf("\n");
    options_print(command->options);
    printf("\noptions of every command:\n");
    options_print(options_common);
}

enum exit_code help_run(struct context *context) {
    if (context->n_arguments == 0) {
        command_print_all();
        return CODE_DONE;
    }
    const struct command *command = command_find(context->arguments[0]);
    if (!command)
        return complain(context, CODE_USAGE, "no such command: '%.64s'", context->arguments[0]);
    command_print_usage(command);
    return CODE_DONE;
}
