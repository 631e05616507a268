# The rest of this script does the work; the settings are above. Run it as root on the cluster's gateway.
#
#   sh SCRIPT [--dry-run] [gateway] [hdfs]
#
# "gateway" prepares this host, "hdfs" the file system and HBase, which must be up; both are done when none is named.
# Running it again changes nothing that is right already. With --dry-run it only tells what it would do.

set -eu
umask 022

# Where the programs are that are run for HBase's user.
safe_path=/usr/sbin:/usr/bin:/sbin:/bin

dry_run=no
parts=
for word in "$@"; do
    case $word in
        --dry-run) dry_run=yes ;;
        gateway | hdfs) parts="$parts $word" ;;
        *)
            echo "usage: $0 [--dry-run] [gateway] [hdfs]" >&2
            exit 2
            ;;
    esac
done
: "${parts:= gateway hdfs}"

say() {
    printf '%s\n' "$*"
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Do a command, or tell it.
run() {
    if [ $dry_run = yes ]; then
        say "would run: $*"
    else
        say "run: $*"
        "$@"
    fi
}

# Why somebody else than root (and than the user of the number UID) could change what is at a path, in words; nothing
# where nobody else can: why_not_roots PATH [UID]. Every directory above it is looked at, and whatever a link leads to.
# What is not there yet can then be put there by root alone, too.
why_not_roots() (
    at='' rest=$1 links=0
    while status=$(stat -c '%u %A' "${at:-/}" 2>/dev/null); do
        owner=${status%% *}
        if [ "$owner" != 0 ] && [ "$owner" != "${2:-0}" ]; then
            say "${at:-/} belongs to somebody else than root"
            break
        fi
        case ${status#* } in
            l*)
                links=$((links + 1))
                if [ $links -gt 40 ]; then
                    say "there are too many links"
                    break
                fi
                rest=$(readlink "$at")/$rest
                case $rest in /*) at='' ;; *) at=${at%/*} ;; esac
                ;;
            ?????-??-?) ;;
            *)
                say "${at:-/} can be written by others than its owner"
                break
                ;;
        esac
        while :; do
            case $rest in
                /*) rest=${rest#/} ;;
                ./* | .) rest=${rest#.} ;;
                ../* | ..)
                    rest=${rest#..}
                    at=${at%/*}
                    ;;
                *) break ;;
            esac
        done
        [ -n "$rest" ] || break
        at=$at/${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
    done
)

# Go no further where somebody else could change what is at a path: roots_alone WHAT PATH [UID]
roots_alone() {
    reason=$(why_not_roots "$2" "${3-}")
    [ -n "$reason" ] || return 0
    reason="$1 $2 is not root's alone: $reason. Give it to root (chown root, chmod go-w), or name another place at the top of this script."
    [ $dry_run = yes ] || fail "$reason"
    say "would be refused: $reason"
}

# Write standard input to a file of root unless it says that already: put PATH MODE
put() {
    roots_alone directory "$(dirname "$1")"
    draft=$(mktemp)
    cat >"$draft"
    if [ -f "$1" ] && cmp -s "$draft" "$1" && [ "$(stat -c %a:%U "$1")" = "$2:root" ]; then
        rm -f "$draft"
    elif [ $dry_run = yes ]; then
        say "would write: $1 (mode $2)"
        rm -f "$draft"
    else
        say "write: $1 (mode $2)"
        chown root:root "$draft"
        chmod "$2" "$draft"
        # By a rename, so that nobody ever reads half of it. A leading dot: sudo and cron leave such names alone.
        mv "$draft" "$(dirname "$1")/.$(basename "$1").new"
        mv "$(dirname "$1")/.$(basename "$1").new" "$1"
    fi
}

# Make a directory of root, or see that one is: directory PATH
directory() {
    roots_alone directory "$1"
    [ -d "$1" ] || run install -d -m 0755 -o root -g root "$1"
}

# The absolute path of a command: given, or found in this shell's PATH.
locate() {
    found=${2:-$(command -v "$1" || true)}
    [ -n "$found" ] || fail "the command $1 is not in this shell's PATH; set it at the top of this script"
    case $found in
        *[!A-Za-z0-9_./@+-]*) fail "$found: the path of $1 must consist of letters, digits and _./@+-" ;;
        /*) printf '%s' "$found" ;;
        *) fail "$found: the path of $1 must be absolute" ;;
    esac
}

# Do a command on a file of keys: with_keys PATH COMMAND…. As the user, where the user could have put a link in its place.
with_keys() {
    case $(why_not_roots "$1") in
        '') shift ;;
        *)
            shift
            set -- runuser -u "$user" -- "$@"
            ;;
    esac
    "$@"
}

# Whether a file of keys has a line: has_key PATH LINE
has_key() {
    # shellcheck disable=SC2016 # the inner shell expands its own arguments
    with_keys "$1" sh -c 'test -f "$1" && grep -qxF -e "$2" "$1"' sh "$1" "$2" 2>/dev/null
}

# Append a line to a file of keys: append_key PATH LINE
append_key() {
    # shellcheck disable=SC2016 # the inner shell expands its own arguments
    with_keys "$1" sh -c 'umask 077; mkdir -p "${1%/*}" && printf "%s\n" "$2" >>"$1"' sh "$1" "$2"
}

gateway_user() {
    if ! id "$user" >/dev/null 2>&1; then
        # A password of "*" opens nothing, and does not lock the account, which an SSH server without PAM would refuse.
        run useradd --create-home --shell /bin/bash --password '*' "$user"
    fi
    if [ -n "$authorized_key" ]; then
        home=$(getent passwd "$user" | cut -d: -f6)
        keys=${authorized_keys_file:-${home:-/home/$user}/.ssh/authorized_keys}
        line="restrict $authorized_key"
        if ! has_key "$keys" "$line"; then
            if [ $dry_run = yes ]; then
                say "would append to $keys: $line"
            else
                say "append to $keys: $line"
                append_key "$keys" "$line"
            fi
        fi
    fi
    directory "$(dirname "$spool")"
    # Nobody but root could put a link there, so what is made the user's is this directory and no other.
    [ ! -L "$spool" ] || fail "$spool is a link: name the directory itself at the top of this script"
    if [ "$(stat -c %a:%U "$spool" 2>/dev/null)" != "700:$user" ]; then
        group=$(id -gn "$user" 2>/dev/null || printf '%s' "$user")
        run install -d -m 0700 -o "$user" -g "$group" "$spool"
    fi
}

# One command as HBase's user, without arguments, in a directory that only root can change. Of the caller it takes
# nothing: neither its directory (JRuby reads .jrubyrc there) nor a variable, whatever the host's other sudo rules keep.
hbase_administration() {
    [ "$with_hbase" = yes ] || return 0
    hbase=$(locate hbase "$hbase_command")
    roots_alone command "$hbase"
    for place in $(printf '%s' "$safe_path" | tr : ' '); do
        roots_alone directory "$place"
    done
    settings="PATH=$safe_path HOME=/ LANG=C.UTF-8"
    conf=${hbase_conf_dir:-${HBASE_CONF_DIR-}}
    if [ -n "$conf" ]; then
        conf=$(locate hbase_conf_dir "$conf")
        for file in "$conf" "$conf"/*; do
            roots_alone configuration "$file" "$(id -u "$hbase_user" 2>/dev/null || true)"
        done
        settings="$settings HBASE_CONF_DIR=$conf"
    fi
    java=${java_home:-${JAVA_HOME-}}
    if [ -n "$java" ]; then
        java=$(locate java_home "$java")
        roots_alone command "$java/bin/java"
        settings="$settings JAVA_HOME=$java"
    fi
    # With -p, a shell takes neither functions nor options from its environment; a shell without -p never does.
    shell=/bin/sh
    ! /bin/sh -p -c : 2>/dev/null || shell='/bin/sh -p'
    directory "$library"
    hbase_admin_script | put "$library/hbase_admin.rb" 644
    put "$library/hbase-admin" 755 <<END
#!$shell
# Starts Understudy's HBase administration process, with nothing of whoever starts it: from the directory /, where there
# is no .jrubyrc, and with these variables alone. The first option halves the time until it is ready.
cd / || exit 1
umask 022
exec /usr/bin/env -i $settings 'HBASE_OPTS=-XX:TieredStopAtLevel=1 -Duser.home=/ -Dfile.encoding=UTF-8' \\
    $hbase org.jruby.Main --dev --disable-gems $library/hbase_admin.rb
END
    rules="Defaults!$library/hbase-admin env_reset, !setenv, !env_keep, !env_check, secure_path=\"$safe_path\"
$user ALL=($hbase_user) NOPASSWD: $library/hbase-admin \"\""
    draft=$(mktemp)
    printf '%s\n' "$rules" >"$draft"
    visudo -cqf "$draft" || fail "these sudo rules are not valid: $rules"
    rm -f "$draft"
    printf '%s\n' "$rules" | put "$sudoers_file" 440
}

hooks() {
    directory "$(dirname "$hooks_directory")"
    directory "$hooks_directory"
}

# What goes on with unfinished instructions after a restart of this host.
adoption() {
    # Not from the administrator's own PATH: the gateway's user has to be able to run it.
    python=${python_command:-$(PATH=/usr/local/bin:/usr/bin:/bin && command -v python3 || true)}
    [ -n "$python" ] || fail "there is no python3 in /usr/local/bin, /usr/bin and /bin; set python_command at the top"
    python=$(locate python3 "$python")
    roots_alone command "$python"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' || fail "$python is older than Python 3.8"
    adopt="$python -I $spool/bin/understudy-agent.pyz adopt --spool $spool"
    path="$(dirname "$(locate hdfs "$hdfs_command")"):/usr/local/bin:/usr/bin:/bin"
    if [ -d /run/systemd/system ]; then
        put "/etc/systemd/system/$service_name.service" 644 <<END
[Unit]
Description=Go on with unfinished instructions of Understudy
After=network-online.target
Wants=network-online.target
ConditionPathExists=$spool/bin/understudy-agent.pyz

[Service]
Type=oneshot
RemainAfterExit=yes
KillMode=process
User=$user
Environment=PATH=$path
ExecStart=$adopt

[Install]
WantedBy=multi-user.target
END
        if ! systemctl is-enabled --quiet "$service_name.service" 2>/dev/null; then
            run systemctl daemon-reload
            run systemctl enable "$service_name.service"
        fi
    elif [ -d /etc/cron.d ]; then
        put "/etc/cron.d/$service_name" 644 <<END
# Goes on with unfinished instructions of Understudy after a restart.
PATH=$path
@reboot $user $adopt
END
    else
        say "note: neither systemd nor cron is here; after a restart somebody has to run, as $user: $adopt"
    fi
}

# Ask HDFS as its superuser; no answer means that nothing is there. Where Hadoop wants a ticket, that account must hold
# one.
ask_hdfs() {
    runuser -u "$hdfs_user" -- "$hdfs" "$@" 2>/dev/null || true
}

hdfs_directories() {
    hdfs=$(locate hdfs "$hdfs_command")
    roots_alone command "$hdfs"
    cd /
    set -- /.understudy /.understudy/identity /.understudy/scratch /.understudy/incoming \
        /.understudy/recovery-points /.understudy/clock
    # Everything is asked for at once, because each call starts a JVM; what is not there is left out of the answer.
    there=$(ask_hdfs dfs -stat '%u %a %n' "$@" "$hbase_root/data/understudy/canary")
    if [ "$(printf '%s\n' "$there" | grep -c "^$hdfs_user 700 ")" != $# ]; then
        run runuser -u "$hdfs_user" -- "$hdfs" dfs -D fs.permissions.umask-mode=077 -mkdir -p "$@"
        case $there in *.understudy*)
            run runuser -u "$hdfs_user" -- "$hdfs" dfs -chown "$hdfs_user" "$@"
            run runuser -u "$hdfs_user" -- "$hdfs" dfs -chmod 700 "$@"
            ;;
        esac
    fi
    [ -n "$snapshottable" ] || return 0
    allowed=$(ask_hdfs lsSnapshottableDir | awk '{ print $NF }')
    printf '%s\n' "$snapshottable" | while IFS= read -r path; do
        if ! printf '%s\n' "$allowed" | grep -qxF "$path"; then
            run runuser -u "$hdfs_user" -- "$hdfs" dfsadmin -allowSnapshot "$path" </dev/null
        fi
    done
}

# A small table whose stamps tell the clock of HBase's servers.
canary_table() {
    [ "$with_hbase" = yes ] || return 0
    case $there in *" canary"*) return 0 ;; esac
    request='{"id": 1, "do": "create_canary", "table": "understudy:canary"}'
    if [ $dry_run = yes ]; then
        say "would ask HBase: $request"
        return 0
    fi
    say "ask HBase: $request"
    answer=$(printf '%s\n' "$request" | runuser -u "$hbase_user" -- "$library/hbase-admin" 2>/dev/null | tail -n 1)
    case $answer in
        *'"ok":true'*) ;;
        *) fail "HBase did not make the canary table: $answer" ;;
    esac
}

[ $dry_run = yes ] || [ "$(id -u)" = 0 ] || fail "run this as root (or with --dry-run as anybody)"
case $parts in *gateway*)
    gateway_user
    hbase_administration
    hooks
    adoption
    ;;
esac
case $parts in *hdfs*)
    hdfs_directories
    canary_table
    ;;
esac
if [ -f /etc/ssh/ssh_host_ed25519_key.pub ]; then
    say "host key for the configuration: $(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)"
fi
say "done"
