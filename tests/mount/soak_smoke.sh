#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Twenty seconds of tests/soak: that it runs, and that nothing is wrong so soon.
exec "$(dirname "$0")/../soak" 20
