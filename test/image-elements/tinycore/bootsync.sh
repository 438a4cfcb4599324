#!/bin/sh
/opt/bootlocal.sh &
