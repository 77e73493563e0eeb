# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# In the guest: hosts, each a network namespace with a cable of its own to the file server.

# add_host NAME NUMBER: it has address 10.77.NUMBER.2, and the server 10.77.NUMBER.1
add_host() {
  ip netns add "$1"
  ip link add "to-$1" type veth peer name cable netns "$1"
  ip addr add "10.77.$2.1/24" dev "to-$1"
  ip link set "to-$1" up
  ip -n "$1" addr add "10.77.$2.2/24" dev cable
  ip -n "$1" link set cable up
  ip -n "$1" link set lo up
}

# cut_off HOST, reconnect HOST: the cable
cut_off() {
  ip -n "$1" link set cable down
}

reconnect() {
  ip -n "$1" link set cable up
}
