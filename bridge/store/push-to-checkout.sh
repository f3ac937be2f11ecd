#!/bin/sh
# Installed by micropub-bridge. When the bridge pushes a post to the branch that is checked out
# here, this brings the files and git's index along, as `git pull` would. While anything here is
# not committed, or a rebase or the like is under way, it refuses: the post waits, and nothing is
# touched. (githooks(5), push-to-checkout. Without this file git's own, simpler rules hold.)
new=$1
unset GIT_LITERAL_PATHSPECS
no() {
    echo "waiting: $*" >&2
    exit 1
}
# Where .git is a file (in a submodule, say), git takes the folder that it names for the files' own.
[ -e "$GIT_WORK_TREE/.git" ] || export GIT_WORK_TREE="$(git config micropub-bridge.worktree)"
cd "$GIT_WORK_TREE" && dir=$(git rev-parse --absolute-git-dir) || exit 1
index=$dir/index
look() {
    for each in rebase-merge rebase-apply MERGE_HEAD CHERRY_PICK_HEAD REVERT_HEAD sequencer \
        BISECT_START; do
        [ ! -e "$dir/$each" ] || no "operation $each"
    done
}
look

# Git's own lock is a second name of a file that says whose it is: one that was left by a push that
# was killed is known, and goes.
for left in "$dir"/BRIDGE_LOCK.*; do
    if [ -e "$left" ] && ! kill -0 "${left##*.}" 2>/dev/null; then
        [ ! "$left" -ef "$index.lock" ] || rm -f "$index.lock"
        gone=${left##*.}
        rm -f "$left" "$dir/BRIDGE_INDEX.$gone" "$dir/BRIDGE_INDEX.$gone".* "$dir/BRIDGE_SEEN.$gone"
    fi
done
mine=$dir/BRIDGE_LOCK.$$
seen=$dir/BRIDGE_SEEN.$$
true >"$mine" || no "unwritable"
export GIT_INDEX_FILE="$dir/BRIDGE_INDEX.$$"
trap '[ ! "$mine" -ef "$index.lock" ] || rm -f "$index.lock"; rm -f "$GIT_INDEX_FILE" "$GIT_INDEX_FILE.new" "$seen" "$mine"' EXIT
trap 'exit 1' HUP INT TERM
# Git replaces its index, and never changes one: as long as both names are one file, nothing has
# come between looking and moving. So the look, which takes longest, is in no one's way.
ln "$index" "$seen" || exit 1
cp -p "$seen" "$GIT_INDEX_FILE" || no "unwritable"

# From here to the end no other git command changes the index.
locked=
lock() {
    [ -z "$locked" ] || return 0
    ln "$mine" "$index.lock" 2>/dev/null || no "locked $index.lock"
    [ "$index" -ef "$seen" ] || no "locked $index.lock"
    look
    locked=yes
}

# `git checkout` of the branch looks where that is, writes the files, and only then says in HEAD what
# is checked out. A push in between found another branch there, and did not call this hook: the
# files are at what the branch was before, as if the newest posts had been removed. Prints the
# commit that they are at. A post that the owner has removed is not such a case: that came after the
# checkout, or the branch that they were on had the post, too.
overtaken() {
    tree=$(git write-tree) || return
    at=$(git log -g -n 50 --format='%T %H %gs' "$branch" -- | while read -r its commit what; do
        [ "$its" != "$tree" ] || { echo "$commit" && break; }
        [ "$what" = push ] || break
    done)
    switched=
    from=$(git log -g -n 50 --format='%H %gs' HEAD -- | while read -r commit what; do
        [ -z "$switched" ] || { echo "$commit" && break; }
        case $what in
        "checkout: moving from "*) switched=yes ;;
        push) ;;
        *) break ;;
        esac
    done)
    [ -n "$at" ] && [ -n "$from" ] || return
    git diff-tree -r --no-renames --name-only -z "$at" "$old" |
        FROM=$from OLD=$old SINCE=$dir/HEAD xargs -0 sh -c '
for file; do
    ! git --literal-pathspecs diff-tree -r --quiet "$FROM" "$OLD" -- "$file" || exit 255
    [ -z "$(git --literal-pathspecs ls-files --others -- "$file")" ] || exit 255
    file=./$file
    while [ ! -e "$file" ] && [ ! -L "$file" ]; do file=${file%/*}; done
    # Where the clock is too coarse to tell which came first, it may be the removal of the owner.
    [ -n "$(find "$SINCE" -prune -newer "$file")" ] || exit 255
done' sh && echo "$at"
}

old=$(git rev-parse --verify HEAD) && branch=$(git symbolic-ref HEAD) || exit 1
[ "${MICROPUB_BRIDGE_SEEN:-$old}" = "$old" ] || no "moved"

# As long as files are moved, BRIDGE_MOVE says from which commit to which.
move() {
    lock
    # Not to be ended half way.
    trap '' HUP INT TERM
    echo "$1 $2" >"$dir/BRIDGE_MOVE" && git read-tree -u -m "$1" "$2" && return
    settle "$1" "$2"
    no "unwritable"
}

# The files are at what the branch is at, and so is git's index.
moved() {
    cp -p "$GIT_INDEX_FILE" "$GIT_INDEX_FILE.new" && mv -f "$GIT_INDEX_FILE.new" "$index" ||
        no "unwritable"
    rm -f "$dir/BRIDGE_MOVE" "$dir/BRIDGE_HEAD"
}

# Files that were on their way between two commits go to what the branch is at: the disk was full, or
# the push was killed. What is neither of these commits' content, nor the beginning of it, is the
# owner's, and stays.
settle() {
    lock
    trap '' HUP INT TERM
    other=$1
    [ "$other" != "$old" ] || other=$2
    # Where the disk is full, there is no space for an index either until files are gone.
    git diff-index --cached --quiet "$old" -- || git read-tree -i -m "$other" "$old" || exit 1
    git diff-tree -r --no-renames --name-only -z "$1" "$2" | FROM=$1 TO=$2 xargs -0 sh -c '
begins() {
    if [ -L "$file" ]; then
        [ "$(readlink "$file")" = "$(git cat-file blob "$1:$file")" ]
    else
        git cat-file --filters "$1:$file" | head -c "$(wc -c <"$file")" | cmp -s - "$file"
    fi
} 2>/dev/null
for file; do
    ! { [ -d "$file" ] && [ ! -L "$file" ]; } && { [ -e "$file" ] || [ -L "$file" ]; } || continue
    tracked=$(git --literal-pathspecs ls-files -- "$file")
    [ -z "$tracked" ] || ! git --literal-pathspecs diff-files --quiet -- "$file" || continue
    { begins "$FROM" || begins "$TO"; } && rm -f "$file" || continue
    case $file in */*) [ -n "$tracked" ] || rmdir -p "${file%/*}" 2>/dev/null ;; esac
done
for file; do
    [ -e "$file" ] || [ -L "$file" ] || [ -z "$(git --literal-pathspecs ls-files -- "$file")" ] ||
        git checkout-index -q -- "$file" || exit 255
done' sh || no "unwritable"
    moved
}

# A push that moved the files, and then found that a commit had just moved the branch, is undone:
# the branch has never been there. (What is long ago has left its log.)
last=
[ ! -e "$dir/BRIDGE_HEAD" ] || read -r last <"$dir/BRIDGE_HEAD"
log=$dir/logs/$branch
[ ! -e "$dir/commondir" ] || log=$(git rev-parse --git-path "logs/$branch")
if [ -s "$dir/BRIDGE_MOVE" ] && read -r from to <"$dir/BRIDGE_MOVE"; then
    settle "$from" "$to"
elif [ -n "$last" ] && [ -s "$log" ] && ! grep -q "^[0-9a-f]* $last " "$log" &&
    ! git merge-base --is-ancestor "$last" "$old"; then
    settle "$last" "$old"
fi

git update-index -q --ignore-submodules --refresh >/dev/null
unstaged=$(git diff-files --name-only --ignore-submodules) || exit 1
staged=$(git diff-index --cached --name-only --ignore-submodules HEAD --) || exit 1
if [ -n "$staged" ] && [ -z "$unstaged" ] && [ "$last" != "$old" ] && behind=$(overtaken); then
    move "$behind" "$old"
    moved
    staged=
fi
if [ -n "$unstaged$staged" ]; then
    no "changed $PWD // $(printf '%s\n%s\n' "$unstaged" "$staged" | sort -u | sed '/^$/d' | head -n 3 | tr '\n' ' ')"
fi
lock

# Git would write over files that it ignores.
git diff-tree -r --no-renames --diff-filter=A --name-only -z "$old" "$new" | xargs -0 sh -c '
for file; do
    path=$file
    while :; do
        if { [ -e "$path" ] || [ -L "$path" ]; } &&
            { [ "$path" = "$file" ] || [ -L "$path" ] || [ ! -d "$path" ]; } &&
            others=$(git --literal-pathspecs ls-files --others -- "$path") && [ -n "$others" ]; then
            echo "waiting: untracked $PWD/$path" >&2
            exit 255
        fi
        case $path in */*) path=${path%/*} ;; *) break ;; esac
    done
done' sh || exit 1

echo "$new" >"$dir/BRIDGE_HEAD" || no "unwritable"
move "$old" "$new"
mv -f "$GIT_INDEX_FILE" "$index" && rm -f "$dir/BRIDGE_MOVE"
