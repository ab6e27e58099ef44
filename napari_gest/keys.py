"""Every key that napari-gest reads from or writes to an AnnData, defined once."""

# Read by default; each reader takes another name as an option.
SPATIAL = "spatial"
SECTION = "section"

# Written by generation.
GENERATED = "gest_generated"  # obs, bool: the row was generated
NEW_CELL = "gest_new_cell"  # obs, bool: the row had no measured cell, its position was placed
ENTROPY = "gest_entropy"  # obs, float32, nats: entropy of p(meta cell)
META_CELL = "gest_meta_cell"  # obs, int32: meta cell, -1 where not generated
EXPRESSION = "gest_expression"  # layers, float32: model space, log1p of total-normalised
DONOR = "gest_donor"  # obs, categorical: measured cell that gave a sampled cell its expression
COUNTS = "gest_counts"  # layers, int32: counts; those of its donor where a cell was sampled
EXPECTED = "gest_expected"  # layers, float32: as EXPRESSION, but means where cells were drawn
DRAW = "gest_draw_{}"  # layers, float32: further draws of mode sample, from 2 on, as EXPRESSION
SD = "gest_sd"  # layers, float32: standard deviation in model space, 0 where measured
REGIONS = "gest_regions"  # uns, GeoJSON: regions, um, that cells were generated for, by section
CHECK_GAIN = "gest_check_gain"  # obs, float32: gain to expect over neighbours; NaN if not said
UNS = "gest"  # uns, dict: model, version, seed, mode, target_sum, field

# Written by niches and labels.
NICHE_EMBEDDING = "X_gest_niche"  # obsm, (n_obs, D) float32: NaN where not embedded
NICHE_EMBEDDED = "gest_niche_embedding"  # uns, dict: what made NICHE_EMBEDDING, of which sections
NICHE = "gest_niche"  # obs, categorical: niche of a cell, missing where not clustered
NICHE_COLORS = "gest_niche_colors"  # uns, one hex colour per category of NICHE
NICHE_CONFIDENCE = "gest_niche_confidence"  # obs, float32: probability of that niche
GENERATED_NICHE = "gest_generated_niche"  # obs, categorical: niche of a cell as it was generated
GENERATED_NICHE_COLORS = "gest_generated_niche_colors"  # uns, as NICHE_COLORS
LABEL = "gest_label"  # obs, categorical: predicted label
LABEL_COLORS = "gest_label_colors"  # uns, one hex colour per category of LABEL
LABEL_CONFIDENCE = "gest_label_confidence"  # obs, float32: probability of that label
GENERATED_NICHED = "gest_generated_niche_from"  # uns, dict: by section, the draw they are of
# Written by perturbation.
CONTROL = "gest_control"  # layers, float32: model space, before the edit
PERTURBED = "gest_perturbed"  # layers, float32: model space, after the edit
DISTANCE = "gest_distance_um"  # obs, float32: to the nearest edited cell, 0 inside, NaN elsewhere
PERTURBATION = "gest_perturbation"  # uns, dict: edits and settings
