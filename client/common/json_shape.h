/* How the messages of control.proto look as JSON, where they differ from the default of json.h.
 * Used inside client/common alone. */
#ifndef P2PD_CLIENT_JSON_SHAPE_H
#define P2PD_CLIENT_JSON_SHAPE_H

#include "client/common/json.h"

enum form {
    FORM_DEFAULT,
    FORM_HIDDEN,
    FORM_ALL_IF,  /* the rows after it are written only if this field is true */
    FORM_IP,      /* of an address, without its port */
    FORM_PORT,    /* the port alone */
    FORM_TEXT,    /* bytes as a string, whatever they are */
    FORM_UNSET,   /* a time; 0 is null */
    FORM_MS,      /* microseconds as milliseconds, negative: null */
    FORM_MILLIS,  /* the same with a sign */
    FORM_SECONDS, /* microseconds as seconds */
    FORM_WHOLE,   /* a double without a fraction */
    FORM_WAY,     /* a flag, outgoing: "out" or "in" */
    FORM_KIND,    /* 2: "file", else "message" */
    FORM_LEVEL,   /* of a finding */
    FORM_PATHS,
};

struct row {
    const char *field; /* of the message; NULL with `special` */
    const char
        *name; /* "group.name": in an object of its own, with its neighbours; NULL: default */
    enum form form;
    /* Writes key and value of a member that is made of several fields. */
    void (*special)(struct json *json, const ProtobufCMessage *message);
};

/* The rows of a message's table, in the order of the members. The last row has neither field nor
 * name. */
const struct row *json_shape_rows(const ProtobufCMessageDescriptor *descriptor);

#endif
