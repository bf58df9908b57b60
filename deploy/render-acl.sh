#!/bin/sh
# Prints the ACL file that Redis reads, made from users.acl beside this script: comments dropped, one
# user a line, each @VARIABLE@ replaced by the SHA-256 of that environment variable's value.
set -eu
here=$(dirname "$0")

acl=$(awk '
    /^[ \t]*(#|$)/ { next }
    /^user / { if (line) print line; line = $0; next }
    { sub(/^[ \t]+/, " "); line = line $0 }
    END { print line }
' "$here/users.acl")

for name in $(printf '%s\n' "$acl" | grep -o '@REDIS_[A-Z_]*@' | tr -d '@' | sort -u); do
    eval "value=\${$name:-}"
    if [ "${#value}" -lt 16 ]; then
        echo "render-acl: set $name to a password of 16 characters or more" >&2
        exit 1
    fi
    hash=$(printf '%s' "$value" | sha256sum | cut -c 1-64)
    acl=$(printf '%s\n' "$acl" | sed "s/@$name@/#$hash/")
done
printf '%s\n' "$acl"
