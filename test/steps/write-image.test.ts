// write_image from end to end: a real web server on loopback, real qemu-img and sgdisk, and loop devices as the machine's disks.
// (being written)
