# How many functions a header declares: neither those that it defines (static inline), nor variables that point to functions.
/^[ \t]*#/ || continued { continued = /\\$/; next }
{ text = text $0 "\n" }
END {
    while ((from = index(text, "/*")) > 0) {
        rest = substr(text, from + 2)
        to = index(rest, "*/")
        text = substr(text, 1, from - 1) " " (to ? substr(rest, to + 2) : "")
    }
    gsub(/\/\/[^\n]*/, "", text)
    gsub(/[ \t\n]+/, " ", text)
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "{") depth++
        else if (c == "}") {
            # A function's body ends its statement, a struct's does not.
            if (--depth == 0 && statement ~ /\) *$/) statement = ""
        } else if (depth == 0 && c == ";") {
            sub(/^ +/, "", statement)
            sub(/__attribute__ *\(\(.*/, "", statement)
            if (statement !~ /^(typedef|static|_Static_assert) ?/ && statement ~ /^[a-zA-Z_][a-zA-Z0-9_ *]*[ *][a-zA-Z_][a-zA-Z0-9_]* ?\([^*]/)
                n++
            statement = ""
        } else if (depth == 0) statement = statement c
    }
    print n + 0
}
