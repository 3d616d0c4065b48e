#!/bin/sh
# machine.sh BASE FOLDER CGROUP NAME [NETWORK]: has systemd run as process 1 over the root BASE, in namespaces of its own.
# FOLDER keeps what it writes. It has the network of whoever starts it, or one of those that `ip netns` has.
set -eu
mkdir -p "$3" && echo $$ >"$3/cgroup.procs" && echo $$ >"$2/pid"
# shellcheck disable=SC2016 # it is for the other shell
exec ${5:+nsenter "--net=/run/netns/$5"} unshare --cgroup --mount --pid --fork --uts --ipc --propagation private --kill-child sh -euc '
base=$0 folder=$1 name=$2
root=$folder/root
mount -t overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  : >"$root/dev/$device" && mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/mnt/shared" && ln -s pts/ptmx "$root/dev/ptmx" && ln -s /proc/self/fd "$root/dev/fd"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount --bind "$folder/shared" "$root/mnt/shared"
cd "$root" && mkdir mnt/old && pivot_root . mnt/old && umount -l /mnt/old && rmdir /mnt/old
mount --make-rshared / # as systemd hands credentials to a service through it
hostname "$name" && echo "$name" >/etc/hostname
exec env -i container=test SYSTEMD_PROC_CMDLINE=systemd.unified_cgroup_hierarchy=1 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --show-status=0 </dev/null
' "$1" "$2" "$4"
