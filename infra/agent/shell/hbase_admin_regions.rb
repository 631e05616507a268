# Words about regions and servers: where regions are, their live counters, their rows, the servers' clock.
#
# A part of hbase_admin.rb, where the whole is described; every word takes its request.
module HBaseRegions
  # table → its state and when that was set, and each region's encoded name, first and last key (hexadecimal), live counters from its server, and where and since
  # which sequence id it is open. Servers tell the size of a memstore in whole MiB.
  def region_metrics(request)
    table = table_name(request)
    @admin.getDescriptor(table) # raises when there is no such table
    asked_ms = now_ms
    state = recorded_state(table)
    open = locations(table)
    servers = open.map(&:getServerName).compact.uniq
    metrics = servers.flat_map { |server| @admin.getRegionMetrics(server, table).to_a }
    by_name = metrics.map { |m| [encoded_name(m.getRegionName), m] }.to_h
    regions = open.map { |location| live_region(location, by_name[location.getRegion.getEncodedName]) }
    state.merge('regions' => regions.sort_by { |region| region['region'] }, 'asked_ms' => asked_ms, 'done_ms' => now_ms)
  end

  # table, limit: reads at most that many whole rows, the first ones of every region.
  def count(request)
    limit = Integer(request.fetch('limit'))
    regions = @admin.getRegions(table_name(request)).to_a.reject { |region| region.isSplit || region.getReplicaId != 0 }
    share = [(limit.to_f / [regions.size, 1].max).ceil, 1].max
    rows = cells = visited = 0
    with_table(request) do |table|
      regions.each do |region|
        break if rows >= limit

        more_rows, more_cells = read_rows(table, region, [share, limit - rows].min)
        rows += more_rows
        cells += more_cells
        visited += 1
      end
    end
    { 'rows' => rows, 'cells' => cells, 'regions_read' => visited, 'regions' => regions.size }
  end

  # table (in the canary's namespace alone), samples → how far the clock of the canary's RegionServer is ahead of this host's. A put without a
  # time gets the server's, which lies between question and answer; of all samples the narrowest interval is taken.
  def clock(request)
    own_table_name(request, CANARY_NAMESPACE)
    samples = Array.new(Integer(request.fetch('samples', 8)).clamp(1, MOST_SAMPLES)) { |number| clock_sample(request, number) }
    low_ms, high_ms = samples.min_by { |low, high| high - low }
    { 'offset_ms' => ((low_ms + high_ms) / 2).round(3), 'uncertainty_ms' => ((high_ms - low_ms) / 2).round(3),
      'samples' => samples.size }
  end

  private

  # The catalogue's own record of a table's state. Its time changes with every change of the state, back and forth included.
  def recorded_state(table)
    catalogue = @connection.getTable(TableName::META_TABLE_NAME)
    get = Get.new(table.getName).addColumn('table'.to_java_bytes, 'state'.to_java_bytes)
    cell = catalogue.get(get).rawCells.to_a.first
    return { 'state' => 'UNKNOWN', 'state_since_ms' => nil } if cell.nil?

    state = org.apache.hadoop.hbase.client.TableState.parseFrom(table, org.apache.hadoop.hbase.CellUtil.cloneValue(cell)).getState.toString
    { 'state' => %w[ENABLED DISABLED].include?(state) ? state : 'CHANGING', 'state_since_ms' => cell.getTimestamp }
  ensure
    catalogue.close if catalogue
  end

  # Where each region is, read anew from the catalogue rather than remembered.
  def locations(table)
    locator = @connection.getRegionLocator(table)
    locator.clearRegionLocationCache if locator.respond_to?(:clearRegionLocationCache)
    locator.getAllRegionLocations.to_a.select { |location| location.getRegion.getReplicaId.zero? }
  ensure
    locator.close if locator
  end

  def boundary(location)
    region = location.getRegion
    { 'region' => region.getEncodedName, 'start' => hex(region.getStartKey), 'end' => hex(region.getEndKey),
      'server' => location.getServerName && location.getServerName.getServerName,
      'open_sequence_id' => location.getSeqNum }
  end

  def live_region(location, metrics)
    return boundary(location).merge('live' => false) if metrics.nil?

    boundary(location).merge(
      'live' => true, 'write_requests' => metrics.getWriteRequestCount,
      'memstore_bytes' => metrics.getMemStoreSize.get(org.apache.hadoop.hbase.Size::Unit::BYTE).to_i,
      'flushed_sequence_id' => metrics.getCompletedSequenceId, 'store_files' => metrics.getStoreFileCount
    )
  end

  def encoded_name(region_name)
    org.apache.hadoop.hbase.client.RegionInfo.encodeRegionName(region_name)
  end

  def with_table(request)
    table = @connection.getTable(table_name(request))
    yield table
  ensure
    table.close if table
  end

  def read_rows(table, region, limit)
    scan = Scan.new.withStartRow(region.getStartKey).withStopRow(region.getEndKey).setCaching([limit, 100].min)
    scanner = table.getScanner(scan)
    rows = cells = 0
    while rows < limit && (result = scanner.next)
      rows += 1
      cells += result.size
    end
    [rows, cells]
  ensure
    scanner.close if scanner
  end

  # The interval of the offset that one put shows; the server's time is cut to whole milliseconds.
  def clock_sample(request, number)
    row = "clock-#{number}-#{java.util.UUID.randomUUID}".to_java_bytes
    family = 'c'.to_java_bytes
    qualifier = 't'.to_java_bytes
    with_table(request) do |table|
      put = Put.new(row).addColumn(family, qualifier, row)
      asked_ms = now_ms
      table.put(put)
      answered_ms = now_ms
      stamp_ms = table.get(Get.new(row)).getColumnLatestCell(family, qualifier).getTimestamp
      table.delete(org.apache.hadoop.hbase.client.Delete.new(row))
      [stamp_ms - answered_ms, stamp_ms + 1 - asked_ms]
    end
  end
end
