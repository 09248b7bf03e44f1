"""Reading the ledger: reports, forecasts, and the forms they are printed in."""

from tachograph.usage.reports.forecast import Forecast, forecast
from tachograph.usage.reports.report import Line, Report, report
from tachograph.usage.reports.when import moment

__all__ = ["Forecast", "Line", "Report", "forecast", "moment", "report"]
