#!/bin/sh
# Run a command in an ARM root, as on one board. Called by machine.py in mount and process namespaces of its own: when
# the command ends, or is killed, the kernel takes every mount and process down with it.
# Usage: enter.sh ROOT BOARD-FOLDER WORK-FOLDER COMMAND...
set -eu
root=$1 board=$2 work=$3
shift 3

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$board/cpuinfo" "$root/proc/cpuinfo"
mount -t tmpfs -o mode=755 cpu "$root/sys/devices/system/cpu"
# One core: threads that wait for each other cost an emulator more than they bring.
mkdir -p "$root/sys/devices/system/cpu/cpu0/topology"
for list in possible present online; do echo 0 >"$root/sys/devices/system/cpu/$list"; done
for id in core_id physical_package_id; do echo 0 >"$root/sys/devices/system/cpu/cpu0/topology/$id"; done
echo 0 >"$root/sys/devices/system/cpu/cpu0/topology/core_siblings_list"
mount -t tmpfs shm "$root/dev/shm"
mount -t tmpfs tmp "$root/tmp"
mount --bind "$work" "$root/work"
# Last, so that the mounts above find their folders: a run leaves the cached root as it was.
mount -o remount,bind,ro "$root"
exec unshare --root="$root" --wd=/work "$@"
