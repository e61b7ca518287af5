/* SPDX-License-Identifier: Apache-2.0 */
/* The world's own objects as JSON; typed: with kind and apiVersion, as a GET and a watch show them, a list does not. */
#pragma once

#include "tests/sim/sim.h"

void sim_render_node(const struct sim *sim, const struct sim_node *node, bool typed, struct km_buf *out);
void sim_render_pod(const struct sim *sim, const struct sim_pod *pod, bool typed, struct km_buf *out);
void sim_render_deployment(const struct sim *sim, const struct sim_deployment *d, bool typed, struct km_buf *out);
/* stale: as it was before the last change */
void sim_render_scale(const struct sim *sim, const struct sim_deployment *d, bool stale, struct km_buf *out);
