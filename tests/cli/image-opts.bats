# SPDX-License-Identifier: LGPL-2.1-or-later
# --image-opts: images named as for QEMU's programs, on every command.

load lib

@test "the same image by QEMU's spelling, on every command" {
  make_raw disk.raw
  opts=driver=raw,file.driver=file,file.filename=disk.raw
  qemu-img info --image-opts "$opts" >/dev/null # it is QEMU's spelling
  json_status 0 --image-opts "$opts"
  expect 'image.filename == "disk.raw"' 'image.format == "raw"' 'image.locking == "auto"'
  run -0 imgtool info --image-opts "$opts"
  [[ ${lines[0]} == 'image: disk.raw' ]]
  run -63 imgtool check --image-opts "$opts"
  run -0 imgtool lock --image-opts "$opts" -- true
}

@test "driver=file names the file itself" {
  make_raw disk.raw
  json_status 0 --image-opts driver=file,filename=disk.raw,locking=posix
  expect 'image.format == "raw"' 'image.locking == "posix"' 'image.probes == ["F_GETLK"]'
}

@test "file.locking counts for its image alone, and beats --locking" {
  make_raw a.raw
  make_raw b.raw
  json_status 0 --locking=posix --image-opts driver=raw,file.filename=a.raw,file.locking=off \
    driver=raw,file.filename=b.raw
  expect '[.images[].locking] == ["off", "posix"]'
  run -0 imgtool lock --image-opts driver=raw,file.filename=a.raw,file.locking=posix \
    driver=raw,file.filename=b.raw -- sh -c 'cat /proc/$PPID/fdinfo/* 2>/dev/null | grep "^lock:"'
  [[ $output == *POSIX* && $output == *OFDLCK* ]]
}

@test "a comma in a name is doubled" {
  make_raw 'a,b=c.raw'
  run -0 imgtool info --image-opts 'driver=raw,file.filename=a,,b=c.raw'
  [[ ${lines[0]} == 'image: a,b=c.raw' ]]
}

@test "driver=qcow2 judges by what QEMU takes on qcow2" {
  make_raw disk.raw
  hold_locks holder disk.raw 103 1
  json_status 1 --image-opts driver=qcow2,file.filename=disk.raw
  expect 'verdict("vm") == "blocked"'
  json_status 1 --image-opts driver=raw,file.filename=disk.raw
  expect 'verdict("vm") == "possible"'
  run -1 --separate-stderr imgtool info --image-opts driver=qcow2,file.filename=disk.raw
  expect_message 'Failed to get shared "resize" lock' "(pid ${PID[holder]})"
}

@test "what is wrong is named" {
  make_raw disk.raw
  while IFS='|' read -r opts message; do
    run -1 --separate-stderr imgtool info --image-opts "$opts"
    expect_message "$message"
    run -2 --separate-stderr imgtool lock-status --image-opts "$opts"
    expect_message "$message"
    run -125 --separate-stderr imgtool lock --image-opts "$opts" -- touch ran
    expect_message "$message"
  done <<'END'
disk.raw|'disk.raw' is not of the form KEY=VALUE
driver=raw|needs file.filename
driver=raw,file.filename=|needs file.filename
driver=nonsense,file.filename=disk.raw|bad value 'nonsense' for driver
driver=raw,file.driver=nbd,file.filename=disk.raw|bad value 'nbd' for file.driver
driver=raw,file.filename=disk.raw,file.locking=maybe|it must be on, off, auto or posix
driver=raw,file.filename=disk.raw,cache.direct=on|unknown key 'cache.direct'
END
  refute test -e ran
  run -1 --separate-stderr imgtool info -f raw --image-opts driver=raw,file.filename=disk.raw
  expect_message 'exclude each other'
}
