"""Reasons that the column `reason` of a damage map states, as codes."""

from deepnets4eo.outputs import ReasonCode


class Reason(ReasonCode):
    """Reasons why a building is not assessed, is graded by less than the others, or has the less probable grade."""

    EMPTY = "footprint_is_empty"
    OUTSIDE = "outside_the_post_image"
    NODATA = "no_data_in_the_post_image"
    CUT = "partly_outside_the_post_image"
    CLOUD = "under_cloud"
    SMALL = "footprint_too_small_for_the_image_resolution"
    BLANK = "one_single_value_in_the_post_image_undeclared_nodata_or_saturated"
    SHADE = "in_deep_shadow_in_the_post_image"
    LARGE = "footprint_larger_than_any_building"
    ENCLOSING = "footprint_encloses_other_footprints"
    NO_BUILDING = "no_building_in_the_pre_image"
    UNSURE = "not_surely_a_building_by_the_network_that_found_it"
    NOT_ON_BUILDINGS = "footprint_not_on_a_building_alignment_failed"
    TOO_NARROW = "roof_too_narrow_for_the_image_resolution"
    TOO_GREEN = "greener_than_the_roofs_that_the_model_knows"
    UNLIKE_ANY = "evidence_unlike_any_that_the_model_knows"
    NAMED_TOO = "named_though_less_probable"  # a given share of the site names as many buildings as damaged
    NOT_NAMED = "not_named_though_more_probable"
    BY_PERSON = "graded_by_a_person"


BY_NETWORK = "graded by the network alone: "  # before the reason why the model did not
