/* p2pctl trust: the key at an address has changed, and that is right. Prints who had the address
 * before, and how many messages wait for that key, which nobody else will deliver. */
#include "client/common/output.h"
#include "client/ctl/ask.h"
#include "client/ctl/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct option trust_options[] = {{"resend", 0, OPTION_FLAG, offsetof(struct options, resend),
                                        NULL, "send what waits for the key before to the new one"},
                                       {NULL, 0, OPTION_FLAG, 0, NULL, NULL}};

static void print_id(const ProtobufCBinaryData *id) {
    for (size_t i = 0; i < id->len; i++)
        printf("%02x", id->data[i]);
}

static void print_json(const P2pd__Control__Answer *answer, const char *text) {
    struct json json = json_to_stdout();
    json_open(&json, '{');
    json_key(&json, "code");
    json_signed(&json, answer->code);
    json_key(&json, "text");
    json_text(&json, text);
    json_fields(&json, &answer->trust->base);
    json_close(&json, '}');
    printf("\n");
}

/* "3 messages", "1 message". */
static void print_count(uint64_t n) {
    printf("%" PRIu64 " message%s", n, n == 1 ? "" : "s");
}

static void old_text(const struct context *context, const P2pd__Control__TrustReport *trust,
                     const P2pd__Control__OldKey *old) {
    print_count(old->messages);
    if (trust->resent)
        printf(" that waited for the key before, ");
    else
        printf(" wait%s for the key before, ", old->messages == 1 ? "s" : "");
    print_id(&old->id);
    if (trust->resent) {
        printf(", %s for the new one now\n", old->messages == 1 ? "is" : "are");
    } else {
        printf(", which is gone: send %s to the new one with p2pctl trust --resend ",
               old->messages == 1 ? "it" : "them");
        output_escaped((const uint8_t *)context->arguments[0], strlen(context->arguments[0]));
        printf("\n");
    }
    if (old->sent > 0 && old->messages == 1)
        printf("  it");
    else if (old->sent > 0)
        printf("  %" PRIu64 " of them", old->sent);
    if (old->sent > 0)
        printf(" may have reached the holder of the key before: sent, and not confirmed\n");
}

static void print_trust(void *state, const P2pd__Control__Answer *answer) {
    static const char *const text = "trusted: this is who is meant by that address from now on";
    const struct context *context = state;
    const P2pd__Control__TrustReport *trust = answer->trust;
    if (!trust)
        return;
    if (context->options.json) {
        print_json(answer, text);
        return;
    }
    if (context->options.quiet)
        return;
    printf("%s: ", text);
    print_id(&trust->id);
    printf("\n");
    for (size_t i = 0; i < trust->n_old; i++)
        old_text(context, trust, trust->old[i]);
    if (trust->resent && trust->n_old == 0)
        printf("no message waits for a key before it\n");
}

enum exit_code trust_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Trust command = P2PD__CONTROL__TRUST__INIT;
    command.to = (char *)context->arguments[0];
    command.resend = context->options.resend;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_TRUST;
    request.trust = &command;
    return ask_run(context, &request, print_trust, context);
}
