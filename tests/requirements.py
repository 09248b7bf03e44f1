"""What was promised, who asked for it, and the tests that show it. tests/test_requirements.py keeps this true.

A test is `file::name`, the file relative to tests/. A promise that no test shows, or only in part, is in GAPS with
its reason; a gap whose promise has since found its tests is stale, and fails.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Promise:
    """One promise.

    Attributes:
        what: In short.
        source: The contract, or the part of the product it belongs to.
        tests: Those that would fail if it were broken.
    """

    what: str
    source: str
    tests: tuple[str, ...]


_EXPOSED = "signals/test_exposition.py::test_a_family_of_the_contract_stands_exactly_as_promised"

FAMILIES: dict[str, tuple[str, ...]] = {
    # Names, labels and buckets of all are asserted by _EXPOSED; these show that their numbers are right.
    "llm_provider_request_seconds": (
        "llm/test_retries.py::test_two_429s_and_then_success_are_three_requests_and_one_call",
    ),
    "llm_provider_tokens_total": ("llm/test_against_the_served.py::test_every_call_and_every_sum",),
    "llm_provider_cost_usd_total": (
        "signals/test_truth.py::test_ten_thousand_calls_from_50_tasks_and_8_threads_add_up_to_the_unit",
        "pricing/test_pricing.py::test_known_prices_by_hand",
    ),
    "llm_provider_errors_total": ("llm/test_provoked_categories.py::test_a_row_of_the_table",),
    "llm_provider_rate_limit_delays_seconds": (
        "llm/test_retries.py::test_recorded_waits_are_what_the_server_saw",
        "llm/test_limiter.py::test_its_waits_are_rate_limit_waits_before_the_attempt",
        "instrument/test_openai.py::test_hidden_retries_are_attempts_and_waits",
    ),
    "mcp_tool_execute_seconds": ("mcp/test_executor.py::test_many_calls_at_once_are_each_answered_and_counted",),
    "mcp_tool_errors_total": (
        "mcp/test_executor.py::test_a_tool_that_fails_in_words_is_an_execution_error_whose_content_can_be_read",
        "mcp/test_executor.py::test_bad_arguments_are_refused_before_anything_is_sent",
        "mcp/test_executor.py::test_a_hanging_tool_is_a_timeout_within_its_time",
        "mcp/test_executor.py::test_a_server_killed_during_a_call_is_a_connection_error_at_once",
    ),
    "mcp_server_connections_active": (
        "mcp/test_connections.py::test_killing_a_stdio_server_by_its_pid_brings_the_gauge_down",
        "mcp/test_connections.py::test_an_http_server_that_closes_in_good_order_brings_the_gauge_down",
        "mcp/test_connections.py::test_a_normal_close_brings_the_gauge_down_and_ends_the_process",
        "mcp/test_connections.py::test_the_gauge_counts_each_client_and_never_goes_below_zero",
    ),
    "mcp_tool_registry_lookup_seconds": (
        "mcp/test_registry.py::test_the_first_lookup_asks_the_server_and_the_next_does_not",
    ),
    "llm_usage_persist_seconds": (
        "usage/test_ledger.py::test_what_is_accepted_is_in_the_store_with_its_sums",
        "usage/test_faults.py::test_records_wait_while_the_store_is_down_and_drain_when_it_is_back",
    ),
    "llm_usage_persist_errors_total": (
        "usage/test_faults.py::test_records_wait_while_the_store_is_down_and_drain_when_it_is_back",
        "usage/test_faults.py::test_a_hung_connection_is_cut_and_the_call_never_waits",
        "usage/test_faults.py::test_a_poison_row_is_found_by_halving",
    ),
    "llm_usage_persist_queue_size": (
        "usage/test_ledger.py::test_past_the_spool_limit_records_are_refused_and_counted",
    ),
    "factory_create_seconds": (
        "llm/test_factory.py::test_each_creation_is_measured_and_is_cheap",
        "mcp/test_factory.py::test_a_made_tool_is_called_like_a_function",
    ),
}

PROMISES: tuple[Promise, ...] = (
    *(Promise(name, "contract: metric families", (_EXPOSED, *tests)) for name, tests in FAMILIES.items()),
    Promise(
        "the spans llm.complete and mcp.tool.execute with their attributes",
        "contract: spans",
        (
            "signals/test_spans.py::test_a_call_that_succeeds_has_the_contract_s_attributes_and_opentelemetry_s",
            "signals/test_spans.py::test_a_call_that_fails_has_its_error_type_status_and_exception",
            "signals/test_spans.py::test_a_tool_call_has_the_contract_s_attributes",
            "mcp/test_spans.py::test_a_failed_calls_span_carries_its_kind_and_none_of_its_content",
        ),
    ),
    Promise(
        "the panels of both dashboards, row by row",
        "contract: dashboards",
        ("catalogue/test_dashboards.py::test_the_first_three_rows_are_the_contracts",),
    ),
    Promise(
        "the five alert rules as they stand",
        "contract: alert rules",
        (
            "catalogue/test_required_rules.py::test_their_groups_carry_exactly_them",
            "catalogue/test_required_rules.py::test_it_fires_with_these_labels_and_annotations",
            "catalogue/test_runbooks.py::test_a_runbook_has_its_sections_and_says_something_in_each",
        ),
    ),
    # The engine and its signals.
    Promise(
        "a scrape is read by a real Prometheus and asked over its API",
        "engine",
        ("signals/test_prometheus.py::test_prometheus_loads_every_family_and_number",),
    ),
    Promise(
        "two 429s and then success: three requests, two errors, true waits, one call, tokens once",
        "engine",
        (
            "llm/test_retries.py::test_two_429s_and_then_success_are_three_requests_and_one_call",
            "llm/test_retries.py::test_recorded_waits_are_what_the_server_saw",
        ),
    ),
    Promise(
        "the table of categories, each row provoked through the real SDK",
        "engine",
        ("llm/test_provoked_categories.py::test_a_row_of_the_table",),
    ),
    Promise(
        "early close, cancellation, deadline and a cut stream each finish once, with their outcome",
        "engine",
        (
            "llm/test_endings.py::test_a_stream_left_early_is_cancelled",
            "llm/test_endings.py::test_a_cancelled_task_is_a_cancelled_call",
            "llm/test_endings.py::test_the_deadline_ends_a_call_that_hangs",
            "llm/test_endings.py::test_a_stream_cut_short_fails_and_keeps_what_came",
        ),
    ),
    Promise(
        "isError, crash, hang, bad argument, unknown tool, killed server: kind and outcome each",
        "engine",
        (
            "mcp/test_executor.py::test_a_tool_that_fails_in_words_is_an_execution_error_whose_content_can_be_read",
            "mcp/test_executor.py::test_a_tool_that_ends_the_process_is_a_connection_error_and_the_next_call_works",
            "mcp/test_executor.py::test_a_hanging_tool_is_a_timeout_within_its_time",
            "mcp/test_executor.py::test_bad_arguments_are_refused_before_anything_is_sent",
            "mcp/test_executor.py::test_an_unknown_tool_is_refused_before_anything_is_sent",
            "mcp/test_executor.py::test_a_server_killed_during_a_call_is_a_connection_error_at_once",
        ),
    ),
    Promise(
        "10,000 calls from 50 tasks and 8 threads add up to the unit",
        "engine",
        ("signals/test_truth.py::test_ten_thousand_calls_from_50_tasks_and_8_threads_add_up_to_the_unit",),
    ),
    Promise(
        "four worker processes, one killed: the counters lose nothing",
        "engine",
        ("signals/test_multiprocess.py::test_four_workers_one_killed_lose_nothing_recorded",),
    ),
    Promise(
        "the demo ends on a signal with every child gone",
        "engine",
        ("demo/test_scenario.py::test_a_signal_ends_the_command_with_its_children_and_code_0",),
    ),
    # The ledger.
    Promise(
        "kills of producers, writer and PostgreSQL lose and double nothing",
        "ledger",
        (
            "usage/test_torture.py::test_no_kill_loses_or_doubles_a_record_in_sqlite",
            "usage/test_torture.py::test_no_kill_loses_or_doubles_a_record_in_postgres_which_is_killed_too",
            "usage/test_faults.py::test_a_full_disk_refuses_by_count_and_drains_without_free_space",
            "usage/test_faults.py::test_a_store_on_a_full_disk_loses_nothing_and_drains_once_there_is_space",
        ),
    ),
    Promise(
        "damage is quarantined and counted, the rest is stored",
        "ledger",
        (
            "usage/test_damage.py::test_flipped_bits_cost_the_records_they_hit_and_no_others",
            "usage/test_damage.py::test_a_torn_tail_is_set_aside_as_torn",
            "usage/test_damage.py::test_frames_of_a_version_to_come_are_set_aside_and_their_neighbours_stored",
        ),
    ),
    Promise(
        "any interleaving of crash, replay and rollup leaves the sums equal, on all stores",
        "ledger",
        ("usage/test_interleavings.py::test_any_interleaving_leaves_the_sums_of_what_was_accepted",),
    ),
    Promise(
        "8 processes under gunicorn with preload: exact counts",
        "ledger",
        ("usage/test_workers.py::test_eight_gunicorn_workers_with_preload_count_every_call_once",),
    ),
    Promise(
        "the demo's whole run: ledger = metrics = served, to the token and the nano-dollar",
        "ledger",
        ("demo/test_scenario.py::test_all_books_agree_after_every_incident",),
    ),
    # The catalogue.
    Promise(
        "promtool and amtool accept rules, tests, configuration and routes",
        "catalogue",
        (
            "catalogue/test_deploy.py::test_promtool_accepts_the_exported_configuration_and_rules",
            "catalogue/test_each_alert.py::test_it_is_quiet_then_fires_in_time_then_resolves",
            "catalogue/test_required_rules.py::test_it_fires_with_these_labels_and_annotations",
            "catalogue/test_routes.py::test_amtool_accepts_the_configuration",
            "catalogue/test_routes.py::test_each_alert_goes_to_the_receiver_of_its_severity",
        ),
    ),
    Promise(
        "for every incident of the demo the right alert fires in a real Prometheus; a quiet hour fires nothing",
        "catalogue",
        (),
    ),
    # Watched clients.
    Promise(
        "every recorded exchange is counted as its body says",
        "instrument",
        ("instrument/test_recorded_exchanges.py::test_every_recorded_exchange_is_recorded_as_its_body_says",),
    ),
    Promise(
        "the matrix of SDK, API, mode and ending, each cell seen, and its page",
        "instrument",
        ("instrument/test_matrix.py::test_cell", "instrument/test_matrix.py::test_the_page_shows_this_matrix"),
    ),
    Promise(
        "the same script bare and watched: same output, exceptions, exit code",
        "instrument",
        ("instrument/test_run.py::test_a_program_does_the_same_bare_and_watched",),
    ),
    Promise("the oldest and newest version of each SDK", "instrument", ()),
    # The console.
    Promise(
        "Prometheus's own test scripts",
        "console",
        (
            "console/test_promqltest.py::test_every_case_of_a_supported_function_passes",
            "console/test_promqltest.py::test_every_unsupported_case_has_a_recorded_reason",
        ),
    ),
    Promise(
        "the evaluator gives what a real Prometheus gives",
        "console",
        (
            "console/test_against_prometheus.py::test_every_query_of_the_catalogue_gives_what_prometheus_gives",
            "console/test_against_prometheus.py::test_random_queries_give_what_prometheus_gives",
            "console/test_against_prometheus.py::test_known_differences_are_still_there",
        ),
    ),
    Promise(
        "promtool query works against it, and its answers have Prometheus's shape",
        "console",
        (
            "console/test_prometheus_api.py::test_promtool_asks_it",
            "console/test_prometheus_api.py::test_answers_are_those_of_prometheus",
        ),
    ),
    Promise(
        "the page shows the API's numbers, with filters, zoom, address, keyboard, themes and widths",
        "console",
        (
            "console/page/test_page.py::test_each_panel_shows_the_numbers_that_the_api_gives",
            "console/page/test_page.py::test_a_filter_narrows_the_panels_and_stands_in_the_url",
            "console/page/test_page.py::test_dragging_over_a_chart_zooms_and_the_back_button_returns",
            "console/page/test_page.py::test_the_keyboard_reaches_everything",
            "console/page/test_page.py::test_no_view_is_wider_than_the_window",
        ),
    ),
    Promise(
        "applications with only an OTLP endpoint show up, ours or OpenTelemetry's own",
        "console",
        (
            "console/test_otlp.py::test_an_application_with_only_the_endpoint_set_shows_up",
            "console/test_otlp.py::test_an_application_watched_by_opentelemetry_s_own_instrumentation_shows_up",
        ),
    ),
    Promise(
        "much traffic stays within its bounds, and the list answers in under 200 ms",
        "console",
        ("console/test_store.py::test_much_traffic_stays_within_the_bounds_and_the_list_stays_quick",),
    ),
    Promise(
        "people are notified of alerts without Alertmanager: once, retried, and across restarts",
        "alerts",
        (
            "console/notify/test_payloads.py::test_a_firing_alert_is_accepted_with_its_runbook_numbers_and_age",
            "console/notify/test_email.py::test_starttls_and_login_bring_the_mail",
            "console/notify/test_timing.py::test_after_a_restart_nothing_is_told_twice_and_the_end_is_still_told",
            "console/notify/test_console_sends.py::test_a_restart_of_the_console_tells_nothing_twice_and_forgets_nothing",
            "catalogue/test_one_trouble_pages_once.py::test_the_console_sends_what_alertmanager_sends",
        ),
    ),
    Promise(
        "a platform team re-grades, drops, re-thresholds and labels alerts by settings alone",
        "alerts",
        (
            "catalogue/test_alert_changes.py::test_the_exported_rules_carry_the_changes_and_nothing_else_moves",
            "catalogue/test_alert_changes.py::test_promtool_sees_the_new_threshold_grade_and_label",
            "catalogue/test_alert_changes.py::test_the_console_evaluates_with_the_same_changes",
        ),
    ),
)

GAPS: dict[str, str] = {
    "for every incident of the demo the right alert fires in a real Prometheus; a quiet hour fires nothing": (
        "Takes hours of real time: `tachograph fire-drill --incident` shows it by hand, its table is docs/fire-drill.md"
    ),
    "the oldest and newest version of each SDK": (
        "Needs environments of its own: `make versions`, which CI runs after the tests"
    ),
}
